package conn

// Balance says which loop an accepted connection goes to.
type Balance int

// The ways to spread connections over loops.
const (
	BalanceEven       Balance = iota // the kernel's choice, as long as no other loop has less than half of that one's connections
	BalanceKernel                    // that whose listening socket the kernel chose, by a hash of the addresses
	BalanceRoundRobin                // one after the other
	BalanceLeast                     // the one with the fewest connections
	BalanceSource                    // by a hash of the peer's address
)
