#!/usr/bin/perl
# A log that never blocks its writers: log_relay.pl [COMMAND ARGUMENTS]
#
# While nothing reads a pipe or a terminal, each write to it blocks, and with it each request. This
# process is between the servers and what reads their log: it takes every line at once, passes lines
# on as fast as they are read, and drops and counts what is more than it holds. (Docker's
# `mode: non-blocking` drops lines without a word, and blocks while `docker attach` is not read.
# uWSGI's log-master blocks.)
#
# A command writes into pipes from here, gets this process's signals, and its exit status is this
# one's. Without a command, standard input goes to standard output. In Perl, which Debian's smallest
# image has: nginx's container has no Python.
use strict;
use warnings;
use Errno qw(EAGAIN EINTR);
use Fcntl qw(F_GETFL F_SETFL O_APPEND O_NOCTTY O_NONBLOCK O_WRONLY);

# What Fcntl lacks, and the module POSIX has for 2 MB of memory.
use constant { F_SETPIPE_SZ => 1031, WNOHANG => 1 };

# Bytes held of each stream: at 1,000 requests a second, nginx's log of 45 s.
my $LIMIT = 16 * 1024**2;
# Bytes after which a line is passed on without its end.
my $LONGEST = 1024**2;
# Seconds that the last lines wait for a reader.
my $PATIENCE = 5;

my @streams;
my ($child, $running, $status) = (0, 0, 0);
if   (@ARGV) { start(@ARGV) }
else         { add(\*STDIN, \*STDOUT) }
$SIG{PIPE} = 'IGNORE';

for (my $idle = 0; $running || grep { $_->{in} || @{ $_->{held} } } @streams;) {
    my ($readable, $writable, $open) = ('', '', 0);
    for (@streams) {
        $open = vec($readable, fileno $_->{in}, 1) = 1 if $_->{in};
        vec($writable, fileno $_->{out}, 1) = 1 if @{ $_->{held} };
    }
    # A second, since Perl may handle a signal only after select() that came right before it.
    my $ready = select $readable, $writable, undef, $open && $child && !$running ? 0 : 1;
    reap() if $child;
    next if $ready < 0;    # a signal
    my @full = grep { $_->{in} && vec $readable, fileno $_->{in}, 1 } @streams;
    receive($_) for @full;
    pass_on($_) for @streams;
    # The command has ended, and all that it wrote is here. What it has started may hold the pipes.
    if ($child && !$running && !@full) { delete $_->{in} for @streams }
    $idle = $ready || $open || $running ? 0 : $idle + 1;
    last if $idle > $PATIENCE;
}
# Other processes may share the open file.
fcntl $_->{out}, F_SETFL, fcntl($_->{out}, F_GETFL, 0) & ~O_NONBLOCK for @streams;
exit($status & 127 ? 128 + ($status & 127) : $status >> 8);

# Run a command whose output comes here, but for what goes to a file.
sub start {
    my (%pipes, @redirected);
    for my $output (\*STDOUT, \*STDERR) {
        my $file = join ':', (stat $output)[0, 1];
        next if -f _;
        if (!$pipes{$file}) {
            pipe my $in, $pipes{$file} or die "log_relay: pipe: $!\n";
            add($in, $output);
        }
        push @redirected, [$output, $pipes{$file}];
    }
    defined($child = fork) or die "log_relay: fork: $!\n";
    if (!$child) {
        for (@redirected) { open $_->[0], '>&', $_->[1] or die "log_relay: dup: $!\n" }
        exec { $_[0] } @_ or die "log_relay: $_[0]: $!\n";
    }
    $running = 1;
    for my $name (qw(HUP INT QUIT TERM USR1 USR2 WINCH)) {
        $SIG{$name} = sub { kill $name, $child };
    }
    $SIG{CHLD} = sub { };    # so that it ends select()
}

# A stream, from where it comes and to where it goes.
sub add {
    my ($in, $out) = @_;
    fcntl $in, F_SETPIPE_SZ, 1024**2;    # the most one may ask for: long lines stay whole
    # O_NONBLOCK is for all that share an open file, such as a terminal. One of its own can be had
    # except of a socket.
    my $own;
    if (!sysopen $own, '/proc/self/fd/' . fileno $out, O_WRONLY | O_APPEND | O_NONBLOCK | O_NOCTTY) {
        open $own, '>&', $out or die "log_relay: dup: $!\n";
        fcntl $own, F_SETFL, fcntl($own, F_GETFL, 0) | O_NONBLOCK;
    }
    push @streams, { in => $in, out => $own, line => '', held => [], bytes => 0, lost => 0 };
}

# Take what is there, and hold the lines that are whole.
sub receive {
    my ($stream) = @_;
    my $bytes = sysread $stream->{in}, $stream->{line}, 65536, length $stream->{line};
    return if !defined $bytes && $! == EINTR;
    my $end = 1 + rindex $stream->{line}, "\n";
    if (!$bytes) {
        delete $stream->{in};
        $end = length $stream->{line};
    }
    $end ||= $LONGEST if length $stream->{line} > $LONGEST;
    my $lines = substr $stream->{line}, 0, $end, '';
    if ($stream->{lost} || $stream->{bytes} > $LIMIT) {
        $stream->{lost} += $lines =~ tr/\n//;
    }
    elsif (length $lines) { hold($stream, $lines) }
}

sub hold {
    my ($stream, $lines) = @_;
    push @{ $stream->{held} }, $lines;
    $stream->{bytes} += length $lines;
}

# Write as much as is read at the other end.
sub pass_on {
    my ($stream) = @_;
    my $held = $stream->{held};
    while (@$held) {
        my $bytes = syswrite $stream->{out}, $held->[0];
        if (!defined $bytes) {
            return if $! == EAGAIN || $! == EINTR;
            # The reader is gone.
            ($stream->{held}, $stream->{bytes}, $stream->{lost}) = ([], 0, 0);
            return;
        }
        $stream->{bytes} -= $bytes;
        substr $held->[0], 0, $bytes, '';
        shift @$held if !length $held->[0];
    }
    if ($stream->{lost}) {
        hold($stream, "deploy: $stream->{lost} log lines were lost, since the log was not read.\n");
        $stream->{lost} = 0;
    }
}

# Wait for the command, and for orphans, which PID 1 of a container gets.
sub reap {
    while ((my $pid = waitpid -1, WNOHANG) > 0) {
        ($running, $status) = (0, $?) if $pid == $child;
    }
}
