/// Every guest test. A new device adds its file under Cases and a line here. Long ones come first, so that labs that share them end together.
let allTests: [GuestTest] =
  netTests + imageTests + controlTests + vsockTests + userNetworkTests + diskTests + pmemTests + bootTests + processorTests + memoryTests
  + deviceTests + endTests + serialTests + sandboxTests
