/// Every guest test. A new device adds its file under Cases and a line here.
let allTests: [GuestTest] =
  bootTests + processorTests + memoryTests + diskTests + imageTests + pmemTests + deviceTests + endTests + serialTests + controlTests
  + sandboxTests + netTests + userNetworkTests + vsockTests
