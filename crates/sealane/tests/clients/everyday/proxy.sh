# Serves the API on a free local port and asks there for $1.
: > proxied.txt
kubectl proxy --port=0 > proxied.txt 2>&1 &
pid=$!
tries=0
until port=$(sed -n 's/^Starting to serve on 127.0.0.1:\([0-9]*\).*/\1/p' proxied.txt) && [ -n "$port" ]; do
    tries=$((tries + 1))
    if [ $tries -gt 200 ] || ! kill -0 $pid 2> /dev/null; then break; fi
    sleep 0.05
done
sealane probe http "http://127.0.0.1:$port$1"
status=$?
kill $pid
exit $status
