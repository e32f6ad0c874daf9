import Glibc

/// A program that both sides of the socket tests run, in the guest and on the host: perl, which every Debian has.
///
/// Its addresses are `vsock:CID:PORT`, `unix:PATH`, and `connect:PATH:PORT`, the socket of a machine at which a program says where to.
enum VsockPeer {
  private static let source = #"""
    use strict; use warnings; use IO::Handle; use Time::HiRes qw(time sleep);
    $SIG{PIPE} = "IGNORE"; $| = 1; alarm 300;
    my ($verb, $address, @rest) = @ARGV;
    my $kind = $ENV{KIND} // 1;
    sub name {
      my ($family, $first, $second) = split /:/, shift;
      return (40, pack("SSLLL", 40, 0, $second, $first, 0)) if $family eq "vsock";
      return (1, pack("Sa108", 1, $first), $second);
    }
    sub reach {
      my ($family, $name, $port) = name(shift);
      socket(my $s, $family, $kind, 0) or die "socket: $!";
      connect($s, $name) or die "connect: $!";
      if (defined $port) {
        syswrite($s, "CONNECT $port\n");
        if ($kind == 5) { sysread($s, my $line, 100); $line =~ /^OK \d+\n$/ or die "refused"; return $s }
        my $line = ""; while ($line !~ /\n/) { sysread($s, $line, 1, length $line) or die "refused" }
        $line =~ /^OK \d+\n$/ or die "answer $line";
      }
      return $s;
    }
    sub listener {
      my ($family, $name) = name(shift);
      socket(my $s, $family, $kind, 0) or die "socket: $!";
      bind($s, $name) or die "bind: $!"; listen($s, 4096) or die "listen: $!";
      print "ready\n"; return $s;
    }
    sub take { accept(my $s, shift) or die "accept: $!"; return $s }
    sub all { my ($s, $data) = @_; my $done = 0;
      while ($done < length $data) { my $n = syswrite($s, $data, length($data) - $done, $done) // die "write: $!"; $done += $n } }
    # Blocks of 64 KiB, each with its number all over.
    sub block { return sprintf("%016d", shift) x 4096 }
    sub pump { my ($s, $blocks) = @_; my $start = time; all($s, block($_)) for 1 .. $blocks; shutdown($s, 1);
      printf "sent=%d rate=%.1f\n", $blocks, $blocks / 16 / (time - $start) }
    sub drain { my $s = shift; my ($data, $number, $start, $bad) = ("", 0, time, 0);
      while (my $n = sysread($s, $data, 1 << 17, length $data)) {
        while (length $data >= 65536) { $number++; $bad++ if substr($data, 0, 65536) ne block($number); substr($data, 0, 65536) = "" } }
      printf "received=%d bad=%d left=%d rate=%.1f\n", $number, $bad, length $data, $number / 16 / (time - $start) }
    sub line { my $s = shift; my $l = ""; if ($kind == 5) { sysread($s, $l, 1 << 17); return $l }
      while ($l !~ /\n/) { sysread($s, $l, 1, length $l) or last } return $l }
    my %verbs = (
      "pump" => sub { my $s = reach($address); pump($s, $rest[0] * 16); drain($s) },
      "serve-pump" => sub { my $s = take(listener($address)); drain($s); pump($s, $rest[0] * 16) },
      "serve-pumps" => sub { my $l = listener($address); while (1) { my $s = take($l); drain($s); pump($s, $rest[0] * 16) } },
      "echo" => sub { my $l = listener($address); while (1) { my $s = take($l); while (my $t = line($s)) { last if $t eq ""; all($s, $t) } } },
      "ask" => sub { my $s = reach($address); my $start = time; my $good = 0;
        for (1 .. $rest[0]) { all($s, "$_\n"); $good++ if line($s) eq "$_\n" }
        printf "asked=%d trip=%.0f\n", $good, (time - $start) / $rest[0] * 1e6 },
      "crowd" => sub { my @s = map { reach($address) } 1 .. $rest[0]; print "open=" . @s . "\n"; my $good = 0;
        all($s[$_], "$_\n") for 0 .. $#s; for (0 .. $#s) { $good++ if line($s[$_]) eq "re $_\n" } print "crowd=$good\n" },
      "serve-crowd" => sub { my $l = listener($address); my @s = map { take($l) } 1 .. $rest[0]; print "all=" . @s . "\n";
        for (@s) { all($_, "re " . line($_)) } line($_) for @s; print "over=1\n" },
      "slow" => sub { my $s = reach($address); $s->blocking(0); my ($sent, $quiet, $data) = (0, 0, "x" x 4096);
        while ($quiet < 5) { my $n = syswrite($s, $data); if ($n) { $sent += $n; $quiet = 0 } else { $quiet++; sleep 0.1 } }
        my $b = reach($address); my $good = 0; for (1 .. 50) { all($b, "$_\n"); $good++ if line($b) eq "$_\n" } close $b;
        shutdown($s, 1); print "sent=$sent trips=$good\n"; $s->blocking(1); sysread($s, my $x, 1); },
      "serve-slow" => sub { my $l = listener($address); my $a = take($l); my $b = take($l);
        while (my $t = line($b)) { all($b, $t) } my $got = 0; while (my $n = sysread($a, my $d, 65536)) { $got += $n } print "got=$got\n" },
      "hang" => sub { my $s = reach($address); all($s, "here\n"); print "hangs\n"; my $n = sysread($s, my $d, 1); print "ended=" . ($n // "error") . "\n" },
      "serve-hang" => sub { my $s = take(listener($address)); print "heard " . line($s); my $n = sysread($s, my $d, 1); print "ended=" . ($n // "error") . "\n" },
      "packets" => sub { my $s = reach($address); my $good = 0;
        for my $size (1, 100, 5000, 60000) { all($s, chr($size % 256) x $size); sysread($s, my $d, 1 << 17); $good++ if $d eq chr($size % 256) x $size }
        print "packets=$good\n" },
      "serve-packets" => sub { my $s = take(listener($address)); while (sysread($s, my $d, 1 << 17)) { all($s, $d) } print "over=1\n" },
    );
    ($verbs{$verb} or die "what is $verb?")->();
    """#

  /// Writes the program to a file, with zeroes after it up to a whole number of sectors: a disk of the guest.
  static func write(to path: String) throws {
    let text = Array((source + "\n__END__\n").utf8)
    try Child.write(text + [UInt8](repeating: 0, count: (512 - text.count % 512) % 512), to: path)
  }
}

/// The program, running on the host.
struct VsockHostPeer {
  private let process: pid_t
  private let streams: [String]

  /// Starts it.
  ///
  /// - Parameter program: The file that `VsockPeer.write` wrote.
  init(_ program: String, _ words: [String], sequenced: Bool = false, _ environment: TestEnvironment) throws {
    streams = ["in", "out", "err"].map { environment.scratchFile($0) }
    try Child.write("", to: streams[0])
    process = try Child.start(
      ["env", "KIND=\(sequenced ? 5 : 1)", "bash", "-c", "ulimit -n 9000; exec perl \"$@\"", "bash", program] + words, streams: streams)
  }

  /// Whether it has printed a text, within some seconds.
  func waits(for text: String, seconds: Int = 120) -> Bool {
    let deadline = Child.now() + Double(seconds)
    while !Child.read(streams[1]).contains(text) {
      if Child.hasEnded(process) { return Child.read(streams[1]).contains(text) }
      if Child.now() > deadline { return false }
      usleep(50_000)
    }
    return true
  }

  /// Ends it, at once with a signal, and returns all that it printed.
  func end(_ signal: Int32? = nil, seconds: Int = 120) -> String {
    if let signal { kill(process, signal) }
    _ = Child.wait(for: process, seconds: seconds)
    defer { for path in streams { unsafe _ = unlink(path) } }
    return Child.read(streams[1]) + Child.read(streams[2])
  }
}
