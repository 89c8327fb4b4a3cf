package conn

// Balance says which loop an accepted connection goes to.
type Balance int

// The ways to spread connections over loops.
const (
	BalanceKernel     Balance = iota // that whose listening socket the kernel chose
	BalanceRoundRobin                // one after the other
	BalanceLeast                     // the one with the fewest connections
	BalanceSource                    // by a hash of the peer's address
)
