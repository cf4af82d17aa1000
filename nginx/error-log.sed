# nginx's error log without queries: passwords' reset links, tokens and the debugger's PIN travel in
# them, and nginx writes the whole request line and the Referer. start.sh runs this with GNU sed.

# dropped-headers.conf has more names than nginx's hash for them has room for without a second look.
# It cannot be made larger, and it works.
/could not build optimal uwsgi_params_hash/d

# The Referer comes last, and may have spaces in it. No other part of a message has spaces and "?".
s/\(, referrer: "[^?]*?\).*/\1..."/
s/?[^ ]*/?.../g

# Not on standard output, which sed would keep until it has 4 kB of it.
w /dev/stderr
