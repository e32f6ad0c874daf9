// Interrupts
