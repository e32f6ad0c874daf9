import CLinux
import Glibc

/// Network cards on taps, with the stock driver and stock tools.
let netTests: [GuestTest] = [
  GuestTest("a network card on a tap: its address and MTU, ping, TCP and UDP both ways over IPv4 and IPv6") { environment in
    let tap = try HostTap(environment)
    let server = try HostProgram.iperf(environment)
    let script =
      HostTap.setUp + """
        echo mac=$(cat /sys/class/net/eth0/address) mtu=$(cat /sys/class/net/eth0/mtu) carrier=$(cat /sys/class/net/eth0/carrier)
        \(pings)
        \(transfers)
        """
    let run = try netGuest(environment, "tap-name=\(tap.name),mac=02:00:00:00:77:01", script).run(environment)
    try expect(run.value("mac") == "02:00:00:00:77:01 mtu=1500 carrier=1", "the card as it was set up", in: run)
    try expectTraffic(run, server)
  },
  GuestTest("a network card with four pairs of queues, and a packed ring: the guest uses all of them") { environment in
    let tap = try HostTap(environment, mode: ["multi_queue"])
    let server = try HostProgram.iperf(environment)
    let script =
      HostTap.setUp + """
        echo queues=$(ls -d /sys/class/net/eth0/queues/rx-* | wc -l)
        \(pings)
        \(transfers)
        iperf3 -c 10.77.0.1 -P 4 -t 1 >/tmp/o 2>&1 && iperf3 -c 10.77.0.1 -P 4 -t 1 -R >/tmp/o 2>&1 && echo parallel=good || tail -n 3 /tmp/o
        awk '/virtio[0-9]+-input/ { if ($2 + $3 + $4 + $5 > 50) used++ } END { print "used=" used }' /proc/interrupts
        """
    for further in ["", ",packed-queue"] {
      var guest = netGuest(environment, "tap-name=\(tap.name),vq-pairs=4" + further, script)
      guest.options += ["-c", "4"]
      let run = try guest.run(environment)
      try expect(run.value("queues") == "4" && run.value("parallel") == "good", "four pairs of queues", in: run)
      try expect(run.value("used").flatMap { Int($0) } ?? 0 >= 2, "traffic by several pairs", in: run)
      try expectTraffic(run, server)
    }
  },
  GuestTest("a network card's checksums and segments are right where the host's interfaces do nothing about them") { environment in
    try expectChecksums(environment, card: "")
  },
  GuestTest("a network card of vhost-net: checksums and segments are right where the host's interfaces do nothing about them") {
    try expectChecksums($0, card: ",vhost-net")
  },
  GuestTest("a network card of a tap with jumbo frames sends and receives them whole, and one of vhost-net") { environment in
    let tap = try HostTap(environment, mtu: 9000)
    let script =
      HostTap.setUp + """
        echo mtu=$(cat /sys/class/net/eth0/mtu)
        ping -c 20 -i 0.05 -q -M do -s 8972 10.77.0.1 | grep -o '20 received'
        ping -c 1 -W 1 -q -M do -s 8973 10.77.0.1 >/dev/null 2>&1 || echo larger=refused
        """
    for further in ["", ",vhost-net"] {
      let run = try netGuest(environment, "tap-name=\(tap.name)" + further, script).run(environment)
      try expect(run.value("mtu") == "9000" && run.value("larger") == "refused", "the tap's MTU in the guest", in: run)
      try expect(run.output.contains("20 received"), "answers of 9000 bytes", in: run)
    }
    let told = try netGuest(environment, "tap-name=\(tap.name),mtu=1400", "modprobe virtio_net; echo mtu=$(cat /sys/class/net/eth0/mtu)")
      .run(environment)
    try expect(told.value("mtu") == "1400", "the MTU that was asked for", in: told)
  },
  GuestTest("a network card's driver is loaded again under traffic, five times or ten, and works") { environment in
    let tap = try HostTap(environment)
    let server = try HostProgram.iperf(environment)
    let rounds = environment.isThorough ? 10 : 5
    // Frames that come at every moment, and time for a guest that is slow to answer.
    let flood = try HostProgram(["ping", "-q", "-i", "0.005", "-s", "1400", HostTap.addresses.guest], environment)
    let script =
      HostTap.setUp + """
        for round in $(seq \(rounds)); do
          iperf3 -c 10.77.0.1 -t 20 --connect-timeout 5000 >/dev/null 2>&1 & sleep 0.5
          rmmod virtio_net; modprobe virtio_net; up; kill -9 $!; wait
          ping -c 3 -i 0.1 -W 5 -q 10.77.0.1 | grep -q ' [123] received' && echo good=$round
        done
        sleep 1; for i in 1 2 3 4 5; do iperf3 -c 10.77.0.1 -t 2 >/dev/null 2>&1 && echo last=good && break; sleep 2; done
        """
    let run = try netGuest(environment, "tap-name=\(tap.name)", script).run(environment)
    try withExtendedLifetime((server, flood)) {
      try expect((1...rounds).allSatisfy { run.output.contains("good=\($0)") }, "answers after each turn", in: run)
      try expect(run.value("last") == "good", "a transfer in the end", in: run)
    }
  },
  GuestTest("a network card goes on after 40 turns of suspend and resume under traffic") { environment in
    try expectSuspensions(environment, card: "")
  },
  GuestTest("a network card of vhost-net goes on after 40 turns of suspend and resume under traffic") { environment in
    try expectSuspensions(environment, card: ",vhost-net")
  },
  GuestTest("a network card of vhost-net: the kernel serves the queues, and its driver is loaded again under traffic") { environment in
    let tap = try HostTap(environment)
    let server = try HostProgram.iperf(environment)
    let script =
      HostTap.setUp + """
        \(pings)
        \(transfers)
        for round in 1 2 3 4 5; do
          iperf3 -c 10.77.0.1 -t 20 --connect-timeout 5000 >/dev/null 2>&1 & sleep 0.5
          rmmod virtio_net; modprobe virtio_net; up; kill -9 $!; wait
          ping -c 3 -i 0.1 -W 5 -q 10.77.0.1 | grep -q ' [123] received' && echo good=$round
        done
        echo mac=$(cat /sys/class/net/eth0/address)
        """
    let running = try netGuest(environment, "tap-name=\(tap.name),vhost-net,mac=02:00:00:00:77:03", script).start(environment)
    let isServed = running.waitForOutput("ping6=5", seconds: 200) && !HostProgram.names(startingWith: "vhost-").isEmpty
    // Frames that come while there is no driver, or none yet.
    let flood = try HostProgram(["ping", "-q", "-i", "0.005", "-s", "1400", HostTap.addresses.guest], environment)
    let run = running.end(nil, seconds: 300)
    withExtendedLifetime(flood) {}
    try expect(isServed, "a thread of the kernel's", in: run)
    try expectTraffic(run, server)
    try expect((1...5).allSatisfy { run.output.contains("good=\($0)") }, "answers after each turn", in: run)
    try expect(run.value("mac") == "02:00:00:00:77:03", "the card's address", in: run)
  },
  GuestTest("a network card of vhost-net with four pairs of queues, of which the guest uses some, and one without MSI") { environment in
    let tap = try HostTap(environment, mode: ["multi_queue"])
    let server = try HostProgram.iperf(environment)
    let script =
      HostTap.setUp + """
        \(pings)
        for n in 4 1 3; do ethtool -L eth0 combined $n && iperf3 -c 10.77.0.1 -P 4 -t 1 >/tmp/o 2>&1 && iperf3 -c 10.77.0.1 -P 4 -t 1 -R >/tmp/o 2>&1 && echo pairs=$n; done
        \(transfers)
        """
    var guest = netGuest(environment, "tap-name=\(tap.name),vq-pairs=4,vhost-net", script)
    guest.options += ["-c", "4"]
    let run = try guest.run(environment)
    try expectTraffic(run, server)
    try withExtendedLifetime(server) {
      try expect([4, 1, 3].allSatisfy { run.output.contains("pairs=\($0)") }, "traffic by as many pairs as are used", in: run)
    }
    guest = netGuest(environment, "tap-name=\(tap.name),vhost-net", HostTap.setUp + pings)
    guest.parameters = ["pci=nomsi"]
    try expectPings(try guest.run(environment))
  },
  GuestTest("a network card whose cable is pulled and plugged in, by our device and by vhost-net: both sides see it, and it works again") {
    environment in
    for further in ["", ",vhost-net"] {
      let tap = try HostTap(environment)
      let script =
        HostTap.setUp + """
          carrier() { for i in $(seq 100); do [ "$(cat /sys/class/net/eth0/carrier)" = $1 ] && echo carrier=$1 && return; sleep 0.1; done; }
          \(pings)
          echo READY; carrier 0; ping -c 1 -W 1 -q 10.77.0.1 >/dev/null 2>&1 || echo silence=yes
          echo DOWN; carrier 1; ping -c 5 -i 0.1 -W 5 -q 10.77.0.1 | grep -o '[1-5] received'
          """
      let guest = try SteeredGuest(netGuest(environment, "tap-name=\(tap.name)" + further, script), environment)
      let isReady = guest.running.waitForOutput("READY", seconds: 200)
      var refusals = [try guest.ask("net", "link", "0", "down")]
      let isDown = guest.running.waitForOutput("DOWN", seconds: 60)
      let carrier = Child.read("/sys/class/net/\(tap.name)/carrier")
      refusals += [try guest.ask("net", "link", "0", "up"), try guest.ask("net", "link", "1", "up")]
      let run = guest.running.end(nil, seconds: 200)
      try expectPings(run)
      try expect(isReady && isDown && refusals[..<2].allSatisfy { $0 == nil }, "a guest that is told, not \(refusals)", in: run)
      try expect(refusals[2]?.contains("there is no network card 1") == true, "a refusal, not \(refusals)", in: run)
      try expect(carrier == "0\n" && run.value("silence") == "yes", "a tap without a carrier, not \(carrier)", in: run)
      try expect(run.output.contains("carrier=0") && run.output.contains("carrier=1"), "a carrier that goes and comes", in: run)
      try expect(run.output.contains("received"), "answers in the end", in: run)
    }
  },
  GuestTest("taps that a network card cannot use, or not yet, are named with the remedy") { environment in
    func expectRefusal(_ card: String, _ words: String...) throws {
      let run = try netGuest(environment, card, "echo up").run(environment)
      try expect(run.status == 1 && words.allSatisfy { run.errors.contains($0) }, "\(words)", in: run)
    }
    try expectRefusal("tap-name=lo", "\"lo\" is not a tap")
    do {
      let tap = try HostTap(environment)
      try expectRefusal(
        "tap-name=\(tap.name),vq-pairs=2", "has one queue", "ip link delete \(tap.name), ip tuntap add \(tap.name) mode tap multi_queue")
      let queue = try tap.openQueue()
      defer { close(queue) }
      try expectRefusal("tap-name=\(tap.name)", "used by another program")
    }
    do {
      let tap = try HostTap(environment, mode: ["multi_queue"])
      let queue = try tap.openQueue(IFF_TAP | IFF_NO_PI | IFF_VNET_HDR | clinux_IFF_MULTI_QUEUE)
      defer { close(queue) }
      for pairs in [1, 2] { try expectRefusal("tap-name=\(tap.name),vq-pairs=\(pairs)", "used by another program") }
    }
    do {
      let tap = try HostTap(environment)
      let queue = try tap.openQueue(IFF_TAP | IFF_VNET_HDR)
      defer { close(queue) }
      try expectRefusal("tap-fd=\(queue)", "IFF_NO_PI")
    }
    let tap = try HostTap(environment, isUp: false)
    let run = try netGuest(environment, "tap-name=\(tap.name)", "echo up").run(environment)
    try expect(run.status == 0 && run.errors.contains("ip link set \(tap.name) up"), "a warning", in: run)
  },
  GuestTest("a network card whose tap is deleted has no link any more, also with several queues, and its driver can be loaded again") {
    environment in
    for further in ["", ",vq-pairs=2"] {
      let tap = try HostTap(environment, mode: further.isEmpty ? [] : ["multi_queue"])
      let script =
        HostTap.setUp + """
          \(pings)
          echo READY; for i in $(seq 100); do [ "$(cat /sys/class/net/eth0/carrier)" = 0 ] && echo carrier=0 && break; sleep 0.1; done
          rmmod virtio_net; modprobe virtio_net; ip link set eth0 up; echo again=$(cat /sys/class/net/eth0/carrier)
          """
      var guest = netGuest(environment, "tap-name=\(tap.name)" + further, script)
      guest.options += ["-c", "2"]
      let running = try guest.start(environment)
      let isReady = running.waitForOutput("READY", seconds: 200)
      tap.delete()
      let run = running.end(nil, seconds: 200)
      try expectPings(run)
      try expect(isReady && run.value("carrier") == "0" && run.value("again") == "0", "a guest that is told", in: run)
      try expect(run.errors.contains("the network behind a card has gone"), "a line that says so", in: run)
    }
  },
  GuestTest("10,000 short connections by a network card, one after the other; thoroughly by vhost-net, too") { environment in
    let tap = try HostTap(environment)
    let server = try LineServer()
    let script =
      HostTap.setUp + """
        cat >/tmp/many <<'END'
        use Socket; my $to = pack_sockaddr_in(\(server.port), inet_aton("10.77.0.1")); my $count = 0;
        for (1 .. 10000) {
          my $s; socket($s, PF_INET, SOCK_STREAM, 0) && connect($s, $to) && sysread($s, my $line, 9) or next;
          $count++ if $line eq "line\\n";
        }
        print "count=$count\\n";
        END
        perl /tmp/many
        """
    let cards = environment.isThorough ? ["", ",vhost-net"] : [""]
    for (round, further) in cards.enumerated() {
      var guest = netGuest(environment, "tap-name=\(tap.name)" + further, script)
      guest.seconds = 550
      let run = try guest.run(environment)
      let given = server.count - 10000 * round
      try expect(run.value("count") == "10000" && given >= 10000, "10,000 answers of \(given) that were given", in: run)
    }
  },
  GuestTest("a network card keeps to its limits of frames and bytes") { environment in
    let tap = try HostTap(environment)
    let server = try HostProgram.iperf(environment)
    let script =
      HostTap.setUp + """
        for way in '' -R; do iperf3 -c 10.77.0.1 -t 5 $way -f k >/tmp/o 2>&1; echo rate$way=$(grep receiver /tmp/o | sed 's/.* \\([0-9.]*\\) Kbits.*/\\1/'); done
        """
    let run = try netGuest(environment, "tap-name=\(tap.name),bandwidth=1M,pps=2000", script).run(environment)
    // 1 MiB a second are 8389 kbit; a burst of one second's is there at first.
    let rates = ["rate", "rate-R"].map { run.value($0).flatMap { Double($0) } ?? 0 }
    try withExtendedLifetime(server) {
      try expect(rates.allSatisfy { (1000...11000).contains($0) }, "at most 8.4 Mbit/s, not \(rates)", in: run)
    }
  },
  GuestTest("a network card of an ordinary user, one of a descriptor, and two of one machine whose taps are made at the start") {
    environment in
    let user: uid_t = 1234
    unsafe _ = chmod("/dev/kvm", 0o666)
    unsafe _ = chmod("/dev/net/tun", 0o666)
    let script = HostTap.setUp + pings
    do {
      let tap = try HostTap(environment, mode: ["user", "\(user)"])
      var guest = netGuest(environment, "tap-name=\(tap.name)", script)
      guest.launcher = ["setpriv", "--reuid", "\(user)", "--regid", "\(user)", "--clear-groups"]
      try expectPings(try guest.run(environment))
    }
    do {
      let tap = try HostTap(environment)
      let queue = try tap.openQueue()
      defer { close(queue) }
      var guest = netGuest(environment, "tap-fd=\(queue)", script)
      try expectPings(try guest.run(environment))
      guest.options = guest.options.dropLast(2) + ["--tap-fd", "\(queue)"]
      try expectPings(try guest.run(environment))
    }
    // Two cards of one machine, the second one said in the original's way and served by the kernel.
    let both = """
      modprobe virtio_net
      for card in 0 1; do
        ip link set eth$card up; ip address add 10.7$((8 + card)).0.2/24 dev eth$card
        echo address$card=$(cat /sys/class/net/eth$card/address)
        ping -c 5 -i 0.1 -q 10.7$((8 + card)).0.1 | sed -n "s/.* \\([0-9]*\\) received.*/answers$card=\\1/p"
      done
      sleep 3
      """
    var guest = netGuest(environment, "host-ip=10.78.0.1,netmask=255.255.255.0,mac=02:00:00:00:78:02", both)
    guest.options += ["--host_ip", "10.79.0.1", "--netmask", "255.255.255.0", "--mac", "02:00:00:00:79:02", "--vhost-net"]
    let running = try guest.start(environment)
    let isServed = running.waitForOutput("answers1=5", seconds: 200) && !HostProgram.names(startingWith: "vhost-").isEmpty
    let run = running.end(nil, seconds: 200)
    try expect(run.value("address0") == "02:00:00:00:78:02" && run.value("address1") == "02:00:00:00:79:02", "two cards", in: run)
    try expect(run.value("answers0") == "5" && run.value("answers1") == "5" && isServed, "answers of the host on each", in: run)
  },
]

/// A guest with a card and the tools.
private func netGuest(_ environment: TestEnvironment, _ card: String, _ script: String) -> Guest {
  Guest(options: ["-r", environment.file("root.squashfs"), "--net", card], script: script)
}

private let pings = """
  ping -c 5 -i 0.1 -q 10.77.0.1 | sed -n 's/.* \\([0-9]*\\) received.*/ping4=\\1/p'
  ping -c 5 -i 0.1 -q fd77::1 | sed -n 's/.* \\([0-9]*\\) received.*/ping6=\\1/p'
  """

/// TCP and UDP both ways over both protocols; each says how it went.
private let transfers = """
  for host in 10.77.0.1 fd77::1; do
    for way in '' -R; do
      iperf3 -c $host -t 1 $way -f m >/tmp/o 2>&1 && echo "tcp $host $way: good, $(grep receiver /tmp/o | sed 's/.*Bytes *//')" || tail -n 3 /tmp/o
      iperf3 -c $host -u -b 10M -t 1 $way -f m >/tmp/o 2>&1 && grep -q 'receiver' /tmp/o && echo "udp $host $way: good, $(grep receiver /tmp/o | sed 's/.*Bytes *//')" || tail -n 3 /tmp/o
    done
  done
  """

private func expectPings(_ run: GuestRun) throws {
  try expect(run.value("ping4") == "5" && run.value("ping6") == "5", "answers to all pings", in: run)
}

/// The answers of `pings` and `transfers`.
private func expectTraffic(_ run: GuestRun, _ server: HostProgram) throws {
  try expectPings(run)
  for host in ["10.77.0.1", "fd77::1"] {
    for way in ["", "-R"] {
      for kind in ["tcp", "udp"] { try expect(run.output.contains("\(kind) \(host) \(way): good"), "\(kind) to \(host) \(way)", in: run) }
      try Traffic.expectDatagrams("udp \(host) \(way): good", in: run)
    }
  }
  withExtendedLifetime(server) {}
}

/// Sends and receives with a card whose frames are seen on a cable of which neither end fills in or checks anything.
private func expectChecksums(_ environment: TestEnvironment, card further: String) throws {
  let tap = try HostTap(environment, behindBridge: true)
  let server = try HostProgram.iperf(environment)
  // One for each kind and way, so that each is seen; what carries data, with its headers, is longer than 200 bytes.
  let kinds = ["ip", "ip6"].flatMap { version in
    ["tcp", "udp"].flatMap { transport in ["dst", "src"].map { "\(version) and \(transport) \($0) port 5201 and greater 200" } }
  }
  let captures = try kinds.map { try HostProgram(["tcpdump", "-n", "-vv", "-i", tap.host, "-c", "75", $0], environment) }
  for capture in captures { try expect(capture.waits(for: "listening on", seconds: 60), "a capture, not: \(capture.output)") }
  let script =
    HostTap.setUp + """
      \(pings)
      \(transfers)
      """
  let run = try netGuest(environment, "tap-name=\(tap.name)" + further, script).run(environment)
  try expectTraffic(run, server)
  for (kind, capture) in zip(kinds, captures) {
    try expect(
      capture.waits(for: "75 packets captured", seconds: 20), "75 packets of the kind '\(kind)', not:\n\(capture.output.suffix(500))")
    // Not only "bad", which hexadecimal numbers contain, too.
    let lines = capture.output.split(separator: "\n")
    let wrong = lines.filter { line in ["incorrect", "bad udp cksum", "bad cksum", "bad hdr"].contains { line.contains($0) } }
    let right = lines.count { $0.contains("(correct)") || $0.contains("[udp sum ok]") }
    try expect(
      right >= 75 && wrong.isEmpty,
      "right checksums of the kind '\(kind)', not \(right) and:\n\(wrong.prefix(5).joined(separator: "\n"))")
  }
}

/// Suspends and resumes a guest with traffic, and expects traffic in the end.
///
/// - Parameter card: Further settings of its network card.
private func expectSuspensions(_ environment: TestEnvironment, card: String) throws {
  let tap = try HostTap(environment)
  var server: HostProgram? = try .iperf(environment)
  let script =
    HostTap.setUp + """
      ping -q -f -s 1400 10.77.0.1 >/dev/null & iperf3 -c 10.77.0.1 -t 600 >/dev/null 2>&1 & transfer=$!
      until [ $(cat /sys/class/net/eth0/statistics/tx_packets) -gt 1000 ]; do sleep 0.1; done
      echo READY; wait $transfer; kill %1
      for i in 1 2 3 4 5; do iperf3 -c 10.77.0.1 -t 2 -R >/dev/null 2>&1 && echo last=good && break; sleep 2; done
      ping -c 5 -i 0.1 -q 10.77.0.1 | grep -o '[0-9] received'
      """
  let guest = try SteeredGuest(netGuest(environment, "tap-name=\(tap.name)" + card, script), environment)
  try expect(guest.running.waitForOutput("READY", seconds: 200), "a guest with traffic")
  var refusals: [String] = []
  for _ in 0..<40 {
    if let refusal = try guest.ask("suspend") { refusals.append(refusal) }
    if let refusal = try guest.ask("resume") { refusals.append(refusal) }
  }
  // The first transfer ends with its server.
  server = nil
  server = try .iperf(environment)
  let run = guest.running.end(nil, seconds: 400)
  try withExtendedLifetime(server) {
    try expect(refusals.isEmpty, "40 turns, not \(refusals)", in: run)
    try expect(run.value("last") == "good" && run.output.contains("5 received"), "traffic in the end", in: run)
  }
}
