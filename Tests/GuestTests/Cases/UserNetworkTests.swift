import Glibc

/// The network of the user's own programs, by passt.
let userNetworkTests: [GuestTest] = [
  GuestTest("a network card of an ordinary user without privileges: DHCP, names, the host's loopback, forwarded ports; nothing stays") {
    environment in
    let user = 1234
    unsafe _ = chmod("/dev/kvm", 0o666)
    let uplink = try Uplink(environment)
    let names = try NameServer()
    let (lines, server) = (try LineServer(), try HostProgram.iperf(environment))
    let client = try HostProgram(
      ["sh", "-c", "until iperf3 -c 127.0.0.1 -p 5988 -t 2 && echo REACHED; do sleep 1; done"], environment)
    let content = (0..<3_000_000).map { _ in UInt8.random(in: 0...255) }
    let (file, files) = (environment.scratchFile("file"), try LineServer(file: content))
    try Child.write(content, to: file)
    let forwarded = try HostProgram(["perl", "-e", ForwardedPorts.host], environment)
    defer { withExtendedLifetime((uplink, names, server, client)) {} }
    let script = """
      modprobe virtio_net; ip link set lo up; ip link set eth0 up
      busybox udhcpc -i eth0 -n -q >/tmp/o 2>&1 || tail -n 3 /tmp/o
      set -- $(ip -o -4 address show dev eth0) $(ip route show default); ip=${4%/*}; while [ $1 != via ]; do shift; done; router=$2
      echo lease=$ip,$router
      busybox nslookup somewhere.example 2>&1 | grep -q 10.99.88.77 && echo name=resolved
      for round in $(seq 50); do bash -c "exec 3<>/dev/tcp/$router/\(lines.port); head -n 1 <&3"; done | sort | uniq -c | sed 's/^ */lines=/'
      for round in $(seq 100); do ip -6 address show dev eth0 scope global | grep -q fd88 && break; sleep 0.1; done
      for host in $router \(Uplink.gateway6); do
        for way in '' -R; do
          iperf3 -c $host -t 1 $way -f m >/tmp/o 2>&1 && echo "tcp $host $way: good, $(grep receiver /tmp/o | sed 's/.*Bytes *//')" || tail -n 3 /tmp/o
        done
      done
      for way in '' -R; do
        iperf3 -c $router -u -b 5M -t 1 $way >/tmp/o 2>&1 && echo "udp $way: good, $(grep receiver /tmp/o | sed 's/.*Bytes *//')" || tail -n 3 /tmp/o
      done
      echo sum=$(busybox wget -q -O - http://$router:\(files.port)/file | sha256sum)
      perl -e '\(ForwardedPorts.guest)'
      timeout 100 iperf3 -s -1 >/tmp/o 2>&1 && grep -q receiver /tmp/o && echo forwarded=yes || tail -n 3 /tmp/o
      """
    // Too long for the kernel's command line.
    let disk = environment.scratchFile("script")
    let text = Array((script + "\nexit 0\n").utf8)
    try Child.write(text + [UInt8](repeating: 0, count: (512 - text.count % 512) % 512), to: disk)
    defer { for path in [file, disk] { unsafe _ = unlink(path) } }
    let card = "user,forward=[tcp:5988:5201,udp:5989:5202,tcp:127.0.0.1:5990:5203],mac=02:00:00:00:88:01,bandwidth=8M"
    var guest = Guest(options: ["-r", environment.file("root.squashfs"), "--disk", disk, "--net", card], script: "sh /dev/vdb")
    guest.launcher = ["setpriv", "--reuid", "\(user)", "--regid", "\(user)", "--clear-groups"]
    let running = try guest.start(environment)
    // It waits for connections then.
    let hasReached = running.waitForOutput("ports=", seconds: 300)
    let memory = Result { try environment.expectLittleMemory(of: "user_net") }
    let run = running.end(nil, seconds: 200)
    try expect(hasReached, "a guest that comes to the end of its script", in: run)
    try memory.get()
    try expect(run.value("lease") == "\(Uplink.host),\(Uplink.gateway)", "the host's address, by DHCP", in: run)
    try expect(run.value("name") == "resolved", "a name server", in: run)
    try expect(run.value("lines") == "50 line", "an answer from each of 50 connections to the host's loopback", in: run)
    for host in [Uplink.gateway, Uplink.gateway6] {
      for way in ["", "-R"] { try expect(run.output.contains("tcp \(host) \(way): good"), "transfers to \(host) \(way)", in: run) }
    }
    for way in ["", "-R"] { try Traffic.expectDatagrams("udp \(way): good", in: run) }
    let sum = try Child.run(["sha256sum", file], input: "", seconds: 60, directory: environment.scratch).output.prefix { $0 != " " }
    try expect(sum.count == 64 && run.value("sum")?.hasPrefix(sum) == true, "the file of a server on the host's loopback only", in: run)
    try expect(run.value("ports") == "datagram,connection", "what comes by forwarded ports", in: run)
    try expect(forwarded.waits(for: "udp tcp refused", seconds: 20), "answers by forwarded ports, not \(forwarded.output)", in: run)
    try expect(run.value("forwarded") == "yes" && client.waits(for: "REACHED", seconds: 20), "a connection from the host", in: run)
    try expect(run.status == 0, "an ordinary end", in: run)
    let left = try HostProgram(["sh", "-c", "while pgrep -f '[p]asst --quiet'; do sleep 0.1; done; echo NONE"], environment)
    try expect(left.waits(for: "NONE", seconds: 20), "no passt to be left, not \(left.output)")
  },
  GuestTest("who sits at a shell of our guests has a network by itself, and names: on a disk and in the initramfs") { environment in
    let uplink = try Uplink(environment)
    let names = try NameServer()
    defer { withExtendedLifetime((uplink, names)) {} }
    let input = """
      for i in $(seq 300); do [ -e /etc/resolv.conf ] && break; sleep 0.1; done
      ip address show dev eth0 | grep -q 'inet \(Uplink.host)/24' && echo address=$((40+2))
      busybox nslookup somewhere.example 2>&1 | grep -q 10.99.88.77 && echo name=$((40+2))
      exit

      """
    for root in [["-r", environment.file("root.squashfs")], []] {
      let run = try Guest(options: root + ["--net", "user"], input: input).run(environment)
      try expect(run.output.contains("address=42") && run.output.contains("name=42"), "an address and a name", in: run)
    }
  },
]

/// A port for datagrams, and one for connections that is bound to the host's loopback address: what both sides run, in perl.
private enum ForwardedPorts {
  /// Asks by the host's ports until there is an answer; other addresses of the host are to refuse the connection. Speaks first, for passt of
  /// 2023 keeps the guest waiting for the end of the handshake until there are bytes for it.
  static let host = """
    use Socket; alarm 300; $| = 1;
    sub at { pack_sockaddr_in($_[1], inet_aton($_[0])) }
    socket(my $u, PF_INET, SOCK_DGRAM, 0); connect($u, at("127.0.0.1", 5989));
    while (1) { send($u, "hello", 0); my $r = ""; vec($r, fileno($u), 1) = 1; next unless select($r, undef, undef, 0.5);
      recv($u, my $d, 99, 0); last if defined $d && $d eq "re hello"; select(undef, undef, undef, 0.5) }
    print "udp ";
    while (1) { socket(my $s, PF_INET, SOCK_STREAM, 0); my $d = "";
      last if connect($s, at("127.0.0.1", 5990)) && syswrite($s, "hello") && sysread($s, $d, 99) && $d eq "bound\n"; select(undef, undef, undef, 0.5) }
    print "tcp ";
    socket(my $s, PF_INET, SOCK_STREAM, 0); print connect($s, at("\(Uplink.host)", 5990)) ? "accepted" : "refused";
    """

  /// Answers datagrams until there is a connection, answers that, and says so.
  static let guest = """
    use Socket; alarm 150;
    socket(my $u, PF_INET, SOCK_DGRAM, 0); bind($u, pack_sockaddr_in(5202, INADDR_ANY)) or die $!;
    socket(my $l, PF_INET, SOCK_STREAM, 0); bind($l, pack_sockaddr_in(5203, INADDR_ANY)) or die $!; listen($l, 9);
    my $said = "";
    while (1) {
      my $r = ""; vec($r, fileno($_), 1) = 1 for $u, $l; select($r, undef, undef, undef); last if vec($r, fileno($l), 1);
      my $from = recv($u, my $d, 99, 0); send($u, "re $d", 0, $from); $said = "datagram" if $d eq "hello";
    }
    accept(my $s, $l); sysread($s, my $d, 99); syswrite($s, "bound\n"); close $s; print "ports=$said,connection\n";
    """
}
