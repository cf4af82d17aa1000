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
#
# With LOG_FORMAT=json, each line that is not JSON becomes a JSON object; a traceback becomes one
# field. On a terminal, text is coloured.
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
# Seconds that a line waits for the indented ones below it.
my $MORE = 0.1;

# The command gets what `auto` means here (deploy/settings has the same rule).
if (($ENV{LOG_FORMAT} // '') eq 'auto') {
    $ENV{LOG_FORMAT} = ($ENV{ENVIRONMENT} // '') eq 'production' && !-t STDOUT ? 'json' : 'text';
}
my $json = ($ENV{LOG_FORMAT} // '') eq 'json';
my $text = ($ENV{LOG_FORMAT} // '') eq 'text';

# JSON (RFC 8259), and UTF-8 (RFC 3629).
my $STRING = qr/"(?:[^"\\\x00-\x1f]++|\\(?:["\\\/bfnrt]|u[0-9A-Fa-f]{4}))*+"/;
my $OBJECT = qr/^(\{\s*+(?:$STRING\s*+:(?2)(?:,\s*+$STRING\s*+:(?2))*+)?+\})\s*\z
    (?(DEFINE)(\s*+(?:$STRING|-?(?:0|[1-9]\d*+)(?:\.\d++)?(?:[eE][-+]?\d++)?|true|false|null
        |\{\s*+(?:$STRING\s*+:(?2)(?:,\s*+$STRING\s*+:(?2))*+)?+\}
        |\[(?:(?2)(?:,(?2))*+)?+\s*+\])\s*+))/x;
my $CHARACTER = qr/[\xc2-\xdf][\x80-\xbf]|\xe0[\xa0-\xbf][\x80-\xbf]
    |[\xe1-\xec\xee\xef][\x80-\xbf]{2}|\xed[\x80-\x9f][\x80-\xbf]|\xf0[\x90-\xbf][\x80-\xbf]{2}
    |[\xf1-\xf3][\x80-\xbf]{3}|\xf4[\x80-\x8f][\x80-\xbf]{2}/x;

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
    my $timeout = (grep { length $_->{event} } @streams) ? $MORE : 1;
    my $ready = select $readable, $writable, undef, $open && $child && !$running ? 0 : $timeout;
    reap() if $child;
    next if $ready < 0;    # a signal
    my @full = grep { $_->{in} && vec $readable, fileno $_->{in}, 1 } @streams;
    receive($_) for @full;
    if (!@full) { hold($_, end_event($_)) for @streams }
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
        next if -f _ && !$json;
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
    push @streams, {
        in => $in, out => $own, line => '', event => '', held => [], bytes => 0, lost => 0,
        colour => $text && -t $out && !length($ENV{NO_COLOR} // ''),
    };
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
    else {
        $lines = objects($stream, $lines) if $json;
        hold($stream, $stream->{colour} ? coloured($lines) : $lines);
    }
    hold($stream, end_event($stream)) if !$stream->{in};
}

# Whole lines as JSON objects, one a line.
sub objects {
    my ($stream, $lines) = @_;
    # nginx passes on what clients send.
    $lines =~ s/($CHARACTER)|[\x80-\xff]/$1 \/\/ "\xef\xbf\xbd"/ge if $lines =~ /[\x80-\xff]/;
    # From nginx's access log or deploy/worker, as almost all are.
    return end_event($stream) . $lines if $lines !~ /^(?!\{"time":".*\}$)/m;
    my $objects = '';
    for my $line (split /^/, $lines) {
        if ($line =~ /^\{"time":".*\}$/ || $line =~ $OBJECT) {
            $objects .= end_event($stream) . $line;
            $objects .= "\n" if $line !~ /\n\z/;
        }
        else {
            $objects .= end_event($stream) if !continues($stream->{event}, $line);
            $stream->{event} .= $line if length $stream->{event} || $line =~ /\S/;
        }
    }
    return $objects;
}

# Whether a line belongs to the ones before it: indented, the end of a traceback, or the next one of
# a chain.
sub continues {
    my ($event, $line) = @_;
    return 0 if !length $event || length $event > $LONGEST;
    return 1 if $line =~ /^[ \t]+\S/;
    return 0 if $event !~ /^Traceback \(most recent call last\):$/m;
    return 1 if $event =~ /(?:^[ \t].*|^Traceback .*:)\n\z/m;    # its exception
    return 1 if $line =~ /^$/ && $event !~ /\n\n\n\z/;
    return $event =~ /\n\n\z/ && $line =~ /^(?:During handling of|The above exception|Traceback )/;
}

# The lines that were put together, as an object.
sub end_event {
    my ($stream) = @_;
    my $event = $stream->{event};
    $stream->{event} = '';
    $event =~ s/\s+\z//;
    return length $event ? object($event) : '';
}

sub object {
    my ($message) = @_;
    my ($second, $minute, $hour, $day, $month, $year) = gmtime;
    my $object = sprintf '{"time":"%d-%02d-%02dT%02d:%02d:%02d+00:00"',
        $year + 1900, $month + 1, $day, $hour, $minute, $second;
    # nginx's error log; the access log has the same number of the connection.
    if ($message =~ s{^\d{4}/\d\d/\d\d [\d:]{8} \[(\w+)\] [\d#]+: (?:\*(\d+) )?}{}) {
        $object .= qq(,"level":"$1") . ($2 ? qq(,"connection":$2) : '');
    }
    my $traceback = '';
    if ($message =~ s/^(Traceback \(most recent call last\):\n.*)//ms) {
        $traceback = $1;
        my ($exception) = $traceback =~ /([^\n]*)\z/;
        $message =~ s/\s+\z//;
        $message = $exception if !length $message;
        $object .= ',"level":"error"';
    }
    $object .= ',"message":' . quoted($message);
    $object .= ',"traceback":' . quoted($traceback) if $traceback;
    return "$object}\n";
}

sub quoted {
    my ($text) = @_;
    $text =~ s/(["\\])/\\$1/g;
    $text =~ s/\n/\\n/g;
    $text =~ s/([\x00-\x1f])/sprintf '\u%04x', ord $1/ge;
    return qq("$text");
}

# For people: the time of day, and in colour what asks for attention.
sub coloured {
    my ($lines) = @_;
    my %colours = (2 => 32, 3 => 36, 4 => 33, 5 => 31);    # by the first digit of the status
    $lines =~ s/^\d{4}-\d\d-\d\dT([\d:]{8})\S* ([1-5])(\d\d) /
        "$1 \e[" . ($colours{$2} || 0) . "m$2$3\e[0m "/gme;
    $lines =~ s/^(.*(?:\[(?:error|crit|alert|emerg)\]|\b(?:ERROR|CRITICAL)\b|^deploy: ).*)/\e[31m$1\e[0m/gm;
    $lines =~ s/^(.*(?:\[warn\]|\bWARNING\b).*)/\e[33m$1\e[0m/gm;
    return $lines;
}

sub hold {
    my ($stream, $lines) = @_;
    return if !length $lines;
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
        my $notice = "deploy: $stream->{lost} log lines were lost, since the log was not read.";
        hold($stream, $json ? object($notice) : "$notice\n");
        $stream->{lost} = 0;
    }
}

# Wait for the command, and for orphans, which PID 1 of a container gets.
sub reap {
    while ((my $pid = waitpid -1, WNOHANG) > 0) {
        ($running, $status) = (0, $?) if $pid == $child;
    }
}
