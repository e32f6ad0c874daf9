internal import NetDevice
internal import VsockDevice

extension VMConfiguration {
  func validateNetworkCards() throws(ConfigurationError) {
    var taps: Set<String> = []
    var macs: Set<MACAddress> = []
    for (index, card) in networkCards.enumerated() {
      do throws(NetConfigurationError) { try card.validate() } catch { throw .networkCard(index, error) }
      let tap: String? =
        switch card.attachment {
        case .tap(let name): "tap \(name)"
        case .descriptor(let number): "descriptor \(number)"
        case .host, .user: nil
        }
      if let tap {
        guard taps.insert(tap).inserted else { throw .tapUsedTwice(tap) }
      }
      if let mac = card.mac {
        guard macs.insert(mac).inserted else { throw .macUsedTwice(mac) }
      }
    }
    try validateHostSide()
  }

  /// Whether the cards get into each other's way on the host, and find their taps there.
  private func validateHostSide() throws(ConfigurationError) {
    var addresses: Set<IPv4Address> = []
    var forwarded: [PortForward] = []
    for card in networkCards {
      switch card.attachment {
      case .host(let address, _): guard addresses.insert(address).inserted else { throw .addressUsedTwice(address) }
      case .user(let forwards):
        for forward in forwards where forwarded.contains(where: { $0.listensBeside(forward) }) {
          throw .portForwardedTwice(forward.hostPort)
        }
        forwarded += forwards
      case .tap, .descriptor: break
      }
    }
    for (index, card) in networkCards.enumerated() {
      do throws(TapError) { try Tap.find(card) } catch { throw .tap(index, error) }
    }
  }

  func validateSockets() throws(ConfigurationError) {
    guard let vsock else { return }
    do throws(VsockConfigurationError) { try vsock.validate() } catch { throw .vsock(error) }
    guard case .socket(let path) = vsock.backend else { return }
    try PathCheck.socket(path, as: .guestSocket)
    if let controlSocket, [path, path + VsockSockets.sequencedSuffix].contains(controlSocket) { throw .socketUsedTwice(controlSocket) }
  }
}
