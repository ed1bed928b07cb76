# Forwards a free local port to $1, port $2, and asks there.
: > forwarded.txt
kubectl port-forward "$1" ":$2" > forwarded.txt 2>&1 &
pid=$!
tries=0
until port=$(sed -n 's/^Forwarding from 127.0.0.1:\([0-9]*\) .*/\1/p' forwarded.txt) && [ -n "$port" ]; do
    tries=$((tries + 1))
    if [ $tries -gt 200 ] || ! kill -0 $pid 2> /dev/null; then break; fi
    sleep 0.05
done
cat forwarded.txt
sealane probe http "http://127.0.0.1:$port/"
status=$?
kill $pid
exit $status
