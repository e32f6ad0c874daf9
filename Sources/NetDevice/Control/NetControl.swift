internal import Platform
internal import Synchronization
internal import Virtio

/// What a driver sets with the control queue (virtio 1.2, section 5.1.6.5), and what the device says of itself.
final class NetControl: Sendable {
  /// What an order means for others.
  enum Effect: Equatable {
    /// Nothing.
    case none
    /// The guest takes other frames now: those of these features.
    case offloads(UInt64)
    /// So many pairs of queues are used.
    case pairs(UInt16)
  }

  private struct State {
    var features: UInt64 = 0
    var pairs: UInt16 = 1
    var mac: MACAddress
    var filter: SharedFilter?
    /// Whether the driver is to tell the network of itself.
    var mustAnnounce = false
    /// From a saved state, for the next driver.
    var restored: SavedState?
  }

  /// Whether the cable is plugged in.
  let link = NetLink()
  /// Which frames the driver takes now, without those that it has switched off.
  let taken = TakenFrames()
  private let ownMAC: MACAddress
  private let pairLimit: UInt16
  private let state: Mutex<State>

  init(mac: MACAddress, pairLimit: UInt16) {
    ownMAC = mac
    self.pairLimit = pairLimit
    state = Mutex(State(mac: mac))
  }

  /// The address as it is now.
  var mac: MACAddress { state.withLock { $0.mac } }

  /// The status field of the configuration space.
  var status: UInt16 {
    state.withLock { state in
      (link.isUp ? NetLayout.linkUp : 0) | (state.mustAnnounce && state.features & NetFeatures.guestAnnounce != 0 ? NetLayout.announce : 0)
    }
  }

  /// Whether the driver has to be asked to announce itself.
  var mustAnnounce: Bool { status & NetLayout.announce != 0 }

  /// What the guest takes now.
  var offloads: NetOffloads { NetOffloads(guestFeatures: taken.features) }

  /// How many pairs of queues are used.
  var pairs: Int { state.withLock { Int($0.pairs) } }

  /// A driver is ready.
  ///
  /// - Returns: Which frames it wants.
  func begin(features: UInt64) -> SharedFilter {
    state.withLock { state in
      let restored = state.restored.take()
      state.features = features
      taken.change(to: features & NetFeatures.guestOffloads & (restored?.guestFeatures ?? .max))
      state.pairs = features & NetFeatures.multipleQueues != 0 ? restored?.pairs ?? 1 : 1
      state.mac = restored?.filter.mac ?? state.mac
      state.mustAnnounce = restored != nil
      let filter = SharedFilter(
        restored?.filter ?? ReceiveFilter(mac: state.mac, filtersVLANs: features & NetFeatures.controlVLAN != 0))
      state.filter = filter
      return filter
    }
  }

  /// The driver is gone.
  func end(keepsRestored: Bool) {
    state.withLock { state in
      let restored = keepsRestored ? state.restored : nil
      state = State(mac: ownMAC, restored: restored)
      taken.change(to: 0)
    }
  }

  /// Does what an order says; `nil` for one that is not understood. What it means for the host is for the caller to do, and to `note` then.
  func perform(_ chain: DescriptorChain) -> Effect? {
    state.withLock { state in
      let rules = NetControlRequest.Rules(features: state.features, pairLimit: pairLimit)
      guard let request = NetControlRequest(chain, rules: rules) else { return nil }
      switch request {
      case .receive(let mode, let isOn): state.filter?.change { $0.set(mode, isOn) }
      case .filter(let unicast, let groups): state.filter?.change { $0.set(unicast: unicast, groups: groups) }
      case .address(let mac):
        state.mac = mac
        state.filter?.change { $0.mac = mac }
      case .vlan(let vlan, let isReceived): state.filter?.change { $0.set(vlan: vlan, isReceived: isReceived) }
      case .announced: state.mustAnnounce = false
      case .pairs(let count): return count == state.pairs ? Effect.none : .pairs(count)
      case .offloads(let features): return features == taken.features ? Effect.none : .offloads(features)
      }
      return Effect.none
    }
  }

  /// The host has done what an order meant for it.
  func note(_ effect: Effect) {
    state.withLock { state in
      switch effect {
      case .none: break
      case .pairs(let count): state.pairs = count
      case .offloads(let features): taken.change(to: features)
      }
    }
  }
}

// MARK: Saved state

/// What a driver has set, in a saved state.
private struct SavedState {
  static let version: UInt8 = 1

  var guestFeatures: UInt64
  var pairs: UInt16
  var filter: ReceiveFilter
}

extension NetControl {
  /// What the driver has set; only a mark while there is no driver.
  var saved: [UInt8] {
    state.withLock { state in
      var writer = ByteWriter()
      writer.put(SavedState.version)
      writer.put(state.filter != nil)
      if let filter = state.filter {
        writer.put(taken.features)
        writer.put(state.pairs)
        filter.current.0.encode(to: &writer)
      }
      return writer.bytes
    }
  }

  /// Keeps a state for the next driver.
  func restore(_ bytes: [UInt8]) throws(NetDeviceError) {
    do throws(MalformedBytes) {
      var reader = ByteReader(bytes)
      guard try reader.get(UInt8.self) == SavedState.version else { throw MalformedBytes("it is of an unknown version") }
      guard try reader.getBool() else {
        try reader.finish()
        return
      }
      let saved = SavedState(
        guestFeatures: try reader.get(), pairs: try reader.get(), filter: try ReceiveFilter(from: &reader))
      try reader.finish()
      guard (1...pairLimit).contains(saved.pairs) else {
        throw MalformedBytes("it has \(saved.pairs) pairs of queues, not 1 to \(pairLimit)")
      }
      guard saved.filter.mac.isUsable else { throw MalformedBytes("its address is \(saved.filter.mac)") }
      state.withLock { $0.restored = saved }
    } catch { throw .badState(error.description) }
  }
}
