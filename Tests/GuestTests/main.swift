GuestTestCommand.main()
