#!/usr/bin/env bash
# httpbin, a server of somebody else's to be called, in a virtual environment of its own.
#   httpbin.sh install DIR     makes the environment, unless it is there
#   httpbin.sh serve DIR       serves on a free port of loopback, which it names on stderr, until it is interrupted
#   httpbin.sh uncalled DIR    reads lines `METHOD PATH`, prints the routes of httpbin that none of them calls
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
what=${1:?install, serve or uncalled} venv=${2:?the folder of the environment}
wanted=$here/requirements.txt

case $what in
install)
    cmp --silent "$wanted" "$venv/installed.txt" && exit
    python3 -m venv --clear "$venv"
    "$venv/bin/pip" install --quiet --disable-pip-version-check --requirement "$wanted"
    cp "$wanted" "$venv/installed.txt"
    ;;
serve)
    # More threads than calls at once: some calls wait in the server for most of a second.
    exec "$venv/bin/gunicorn" --bind 127.0.0.1:0 --workers 2 --worker-class gthread --threads 32 \
        --graceful-timeout 1 --no-control-socket httpbin:app
    ;;
uncalled)
    exec "$venv/bin/python" -W ignore -c '
import sys
import httpbin
from werkzeug.exceptions import HTTPException
from werkzeug.routing import RequestRedirect

routes = httpbin.app.url_map.bind("localhost")
uncalled = {rule.rule for rule in httpbin.app.url_map.iter_rules()}
for line in sys.stdin:
    method, path = line.rstrip("\n").split(" ", 1)
    path, _, query = path.partition("?")
    try:
        rule, _ = routes.match(path, method, return_rule=True, query_args=query)
        uncalled.discard(rule.rule)
    except HTTPException:
        pass
print("\n".join(sorted(uncalled)), end="")
' 2>/dev/null
    ;;
*)
    echo "httpbin.sh: there is no $what" >&2
    exit 2
    ;;
esac
