import Glibc

/// The network of the user's own programs, by passt.
let userNetworkTests: [GuestTest] = [
  GuestTest("a network card of an ordinary user without privileges: DHCP, names, the host's loopback, a forwarded port; nothing stays") {
    environment in
    let user = 1234
    unsafe _ = chmod("/dev/kvm", 0o666)
    let uplink = try Uplink(environment)
    let names = try NameServer()
    let (lines, server) = (try LineServer(), try HostProgram.iperf(environment))
    let client = try HostProgram(
      ["sh", "-c", "until iperf3 -c 127.0.0.1 -p 5988 -t 2 && echo REACHED; do sleep 1; done"], environment)
    defer { withExtendedLifetime((uplink, names, server, client)) {} }
    let script = """
      modprobe virtio_net; ip link set lo up; ip link set eth0 up
      cat >/tmp/dhcp <<'END'
      #!/bin/sh
      [ "$1" = bound ] || exit 0
      ip address add $ip/$mask dev $interface; ip route add default via $router
      echo "$ip $router $dns" >/tmp/lease
      END
      chmod +x /tmp/dhcp; busybox udhcpc -i eth0 -n -q -s /tmp/dhcp >/tmp/o 2>&1 || tail -n 3 /tmp/o
      read -r ip router dns </tmp/lease; echo lease=$ip,$router
      busybox nslookup somewhere.example $dns 2>&1 | grep -q 10.99.88.77 && echo name=resolved
      for round in $(seq 50); do bash -c "exec 3<>/dev/tcp/$router/\(lines.port); head -n 1 <&3"; done | sort | uniq -c | sed 's/^ */lines=/'
      for round in $(seq 100); do ip -6 address show dev eth0 scope global | grep -q fd88 && break; sleep 0.1; done
      for host in $router \(Uplink.gateway6); do
        for way in '' -R; do
          iperf3 -c $host -t 1 $way -f m >/tmp/o 2>&1 && echo "tcp $host $way: good, $(grep receiver /tmp/o | sed 's/.*Bytes *//')" || tail -n 3 /tmp/o
        done
      done
      iperf3 -c $router -u -b 5M -t 1 >/tmp/o 2>&1 && echo udp=good || tail -n 3 /tmp/o
      timeout 100 iperf3 -s -1 >/tmp/o 2>&1 && grep -q receiver /tmp/o && echo forwarded=yes || tail -n 3 /tmp/o
      """
    var guest = Guest(
      options: ["-r", environment.file("root.squashfs"), "--net", "user,forward=tcp:5988:5201,mac=02:00:00:00:88:01,bandwidth=8M"],
      script: script)
    guest.launcher = ["setpriv", "--reuid", "\(user)", "--regid", "\(user)", "--clear-groups"]
    let run = try guest.run(environment)
    try expect(run.value("lease") == "\(Uplink.host),\(Uplink.gateway)", "the host's address, by DHCP", in: run)
    try expect(run.value("name") == "resolved", "a name server", in: run)
    try expect(run.value("lines") == "50 line", "an answer from each of 50 connections to the host's loopback", in: run)
    for host in [Uplink.gateway, Uplink.gateway6] {
      for way in ["", "-R"] { try expect(run.output.contains("tcp \(host) \(way): good"), "transfers to \(host) \(way)", in: run) }
    }
    try expect(run.value("udp") == "good", "datagrams", in: run)
    try expect(run.value("forwarded") == "yes" && client.waits(for: "REACHED", seconds: 20), "a connection from the host", in: run)
    try expect(run.status == 0, "an ordinary end", in: run)
    let left = try HostProgram(["sh", "-c", "while pgrep -f '[p]asst --quiet'; do sleep 0.1; done; echo NONE"], environment)
    try expect(left.waits(for: "NONE", seconds: 20), "no passt to be left, not \(left.output)")
  }
]
