#!/usr/bin/perl
# Pass on nginx's log for the exporter of metrics: metrics.pl SOCKET <PIPE
#
# Lines wait here, and not in nginx, while the exporter does not run or does not read. In Perl, which
# Debian's smallest image has: nginx's container has no Python.
use strict;
use warnings;
use Errno qw(EAGAIN EINTR);
use Fcntl qw(F_GETFL F_SETFL O_NONBLOCK);
use Socket qw(PF_UNIX SOCK_STREAM SOL_SOCKET SO_RCVTIMEO SO_SNDTIMEO pack_sockaddr_un);

use constant F_SETPIPE_SZ => 1031;

# Bytes held: some 250,000 requests.
my $LIMIT = 16 * 1024**2;

# Seconds between two looks at nginx's connections.
my $INTERVAL = 5;

my ($socket) = @ARGV;
my ($held, $lost, $exporter, $open, $inside) = ('', 0, undef, 1, 0);
# start.sh ends this process when nginx has ended: with the last lines.
$SIG{$_} = 'IGNORE' for qw(HUP INT PIPE QUIT);
my $ending = 0;
$SIG{TERM} = sub { $ending = time + 2 };
fcntl STDIN, F_SETPIPE_SZ, 1024**2;    # the most one may ask for: lines stay whole
my $due = time + $INTERVAL;

while ($open || length $held) {
    connect_to_exporter() if length $held && !$exporter;
    last if $ending && time > $ending || !$exporter && !$open;
    my ($readable, $writable) = ('', '');
    vec($readable, fileno STDIN, 1) = 1 if $open;
    vec($writable, fileno $exporter, 1) = 1 if $exporter && length $held;
    my $ready = select $readable, $writable, undef, $ending ? 0.1 : 1;
    next if $ready < 0;    # a signal
    $open = 0 if $ending && !vec $readable, fileno STDIN, 1;
    receive() if $open && vec $readable, fileno STDIN, 1;
    count_connections() if time >= $due && $held =~ /(?:\A|\n)\z/ && !$inside;
    pass_on() if $exporter;
}

sub connect_to_exporter {
    socket my $new, PF_UNIX, SOCK_STREAM, 0 or return;
    fcntl $new, F_SETFL, fcntl($new, F_GETFL, 0) | O_NONBLOCK;
    connect $new, pack_sockaddr_un($socket) or return;
    $exporter = $new;
    $held =~ s/\A[^\n]*\n// if $inside;    # the rest of a line of which the last one had the start
    $inside = 0;
}

sub receive {
    my $bytes = sysread STDIN, $held, 65536, length $held;
    return if !defined $bytes && ($! == EINTR || $! == EAGAIN);
    $open = 0 if !$bytes;
    if (length $held > $LIMIT) {
        my $kept = 1 + rindex $held, "\n", length($held) / 2;
        my $dropped = substr $held, 0, $kept, '';
        $lost += $dropped =~ tr/\n//;
        $inside = 0;
    }
    if ($lost && $held =~ /\n\z/) {
        $held .= "lost $lost\n";
        $lost = 0;
    }
}

# What modes/metrics.conf responds. It waits briefly only: nginx may wait for its log to be read.
sub count_connections {
    $due = time + $INTERVAL;
    socket my $nginx, PF_UNIX, SOCK_STREAM, 0 or return;
    setsockopt $nginx, SOL_SOCKET, $_, pack 'l!l!', 0, 200_000 for SO_RCVTIMEO, SO_SNDTIMEO;
    connect $nginx, pack_sockaddr_un('nginx/.connections') or return;
    syswrite $nginx, "GET / HTTP/1.0\r\n\r\n" or return;
    my $response = '';
    1 while sysread $nginx, $response, 4096, length $response;
    $held .= $1 if ($exporter || !length $held) && $response =~ /^(connections [\d ]+\n)\z/m;
}

sub pass_on {
    return if !length $held;
    my $bytes = syswrite $exporter, $held;
    if (defined $bytes) {
        $inside = substr($held, $bytes - 1, 1) ne "\n" if $bytes;
        substr $held, 0, $bytes, '';
    }
    elsif ($! != EAGAIN && $! != EINTR) { undef $exporter }
}
