//! What `--help` says after the flags: examples that work as they are.

pub(crate) const SEALANE: &str = "\
Examples:
  sealane lab tour                          eleven lessons, each with real traffic
  sealane lab up                            a cluster of three nodes, until Ctrl-C
  sealane lab run -- ./test.sh              a cluster for one command, as in CI
  sealane explain web http://api.shop/      why Pod web reaches it, or not";

pub(crate) const UP: &str = "\
Examples:
  sealane lab up                            in the foreground
  sealane lab up --detach --name second     in the background, beside another lab
  sealane lab up --data-dir ./cluster       objects survive until the next start
  sealane lab up --ip-family dual           Pods with IPv4 and IPv6 addresses
  sealane lab up --http-port 8080           the HTTP entry at a port of your choice";

pub(crate) const RUN: &str = "\
Examples:
  sealane lab run -- kubectl get nodes
  sealane lab run -- sh -c 'kubectl apply -f manifests/ && ./smoke-test.sh'
  sealane lab run --name job-$CI_JOB_ID -- make integration-test";

pub(crate) const EXEC: &str = "\
Examples:
  sealane lab exec web -- curl -s http://localhost/
  sealane lab exec shop/web -c proxy -- sealane probe dns api.shop.svc.cluster.local
  sealane lab exec -it web -- bash
  sealane lab exec --outside -- curl -s http://172.31.0.200/";

pub(crate) const EXPLAIN: &str = "\
Examples:
  sealane explain web http://api.shop/v1    from Pod web of Namespace default, a URL
  sealane explain shop/web db.data:5432     a name and a port, from Pod web of Namespace shop
  sealane explain web svc/api:80            a Service
  sealane explain web pod/other:8080        a Pod
  sealane explain web 10.96.0.10:53/udp     an address, UDP
  sealane explain outside http://shop.example.com/    through the HTTP entry
  sealane explain node/node-a 10.244.1.2:8080         from a node itself";

pub(crate) const DNS_QUERY: &str = "\
Examples:
  sealane dns query web.shop.svc.cluster.local
  sealane dns query web --from shop/client  each name of the Pod's search path
  sealane dns query _http._tcp.web.shop.svc.cluster.local --type SRV
  sealane dns query www.example.com --output json | jq '.[-1].asked'
  sealane dns query --file names.txt --output json | jq '.[] | select(.isAnswered | not) | .name'";

pub(crate) const DNS_IMPORT: &str = "\
Examples:
  sealane dns import Corefile
  sealane dns import Corefile --with corp.server --with NodeHosts
  kubectl -n kube-system get configmap coredns -o jsonpath='{.data.Corefile}' | sealane dns import -";

pub(crate) const STATUS: &str = "\
Examples:
  sealane status
  sealane status --node node-a              the way to each other node, proved or not
  sealane status --output json | jq '.findings[].message'";

pub(crate) const CHECK: &str = "\
Examples:
  sudo sealane check                        on a node
  sudo sealane check --underlay-link ens3 --pod-cidr 10.42.0.0/16
  sealane lab check node-b                  on a node of a running lab
  sealane check --output json | jq '.[] | select(.verdict == \"broken\")'";

pub(crate) const DNS_SERVE: &str = "\
Examples:
  sealane dns serve                         in a Pod, as its service account
  sealane dns serve --kubeconfig ~/.kube/config --listen 127.0.0.1 --port 5353 --pod-cidr 10.42.0.0/16";

pub(crate) const SERVICES: &str = "\
Examples:
  sudo sealane services                     on a node
  sudo sealane services shop/web            one Service
  sealane lab services node-b               on a node of a running lab
  sealane services --output json | jq '.[] | {owner, frontend, backends}'";

pub(crate) const PLAN: &str = "\
Examples:
  sealane plan show node-a                  the plan, as JSON
  sealane plan show node-a --output nft     the nftables rules it is rendered to";

pub(crate) const PROBE: &str = "\
Examples:
  kubectl exec web -- sealane probe http http://api/
  kubectl exec web -- sealane probe dns api.default.svc.cluster.local --type SRV
  kubectl exec web -- sealane probe tcp db:5432 --timeout 500
  sealane probe http https://shop.example.com/ --connect 127.0.0.1:18443
  sealane probe http http://web/ --count 10 --output json";

pub(crate) const COMPLETION: &str = "\
Examples:
  source <(sealane completion bash)
  sealane completion zsh > \"${fpath[1]}/_sealane\"
  sealane completion fish > ~/.config/fish/completions/sealane.fish";
