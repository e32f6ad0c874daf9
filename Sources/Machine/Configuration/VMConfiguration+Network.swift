internal import NetDevice

extension VMConfiguration {
  func validateNetworkCards() throws(ConfigurationError) {
    var taps: Set<String> = []
    var macs: Set<MACAddress> = []
    for (index, card) in networkCards.enumerated() {
      do { try card.validate() } catch { throw .networkCard(index, error) }
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
  }
}
