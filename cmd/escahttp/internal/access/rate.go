package access

import (
	"errors"
	"fmt"
	"math"
	"net/http"
	"net/netip"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/escahttp/esca/cmd/escahttp/internal/pattern"
	"github.com/escahttp/esca/cmd/escahttp/internal/static"
)

// Rates bound how many requests a client may make. It is a static.Step.
type Rates []*rate

// rate is so many requests in a time, of which so many may come at once. It is kept as
// the time at which a client has used up nothing any more (the generic cell rate
// algorithm), one number for each.
type rate struct {
	pattern.Pattern
	each  time.Duration // what one request costs
	burst time.Duration // how far ahead of the clock a client may be

	mu      sync.Mutex
	clients map[netip.Addr]time.Time
}

// mostClients bounds how many clients are kept apart.
const mostClients = 64 << 10

// ParseRates reads rules of the form [PATTERN] NUMBER/UNIT [BURST], of which the unit is s,
// m or h. The burst is NUMBER, if it is not given.
func ParseRates(rules []string) (list Rates, err error) {
	for _, text := range rules {
		p, rest, err := cut(text)
		if err != nil {
			return nil, fmt.Errorf("%q: %w", text, err)
		}
		r := &rate{Pattern: p, clients: map[netip.Addr]time.Time{}}
		if err := r.parse(strings.Fields(rest)); err != nil {
			return nil, fmt.Errorf("%q: %w: give [PATTERN] NUMBER/UNIT [BURST], such as \"20/s\" or \"/api/** 100/m 10\"", text, err)
		}
		list = append(list, r)
	}
	return list, nil
}

func (r *rate) parse(f []string) error {
	if len(f) == 0 || len(f) > 2 {
		return errors.New("it is not a rate, and a burst behind it")
	}
	number, unit, _ := strings.Cut(f[0], "/")
	n, err := strconv.Atoi(number)
	per := map[string]time.Duration{"s": time.Second, "m": time.Minute, "h": time.Hour}[unit]
	if err != nil || n < 1 || n > 1e6 || per == 0 {
		return fmt.Errorf("%s is no rate", f[0])
	}
	burst := n
	if len(f) == 2 {
		if burst, err = strconv.Atoi(f[1]); err != nil || burst < 1 || burst > 1e6 {
			return fmt.Errorf("%s is no number of requests that may come at once", f[1])
		}
	}
	r.each = per / time.Duration(n)
	r.burst = r.each * time.Duration(burst)
	return nil
}

// Decide is a static.Step.
func (l Rates) Decide(r static.Request, a *static.Answer) bool {
	client := r.Client()
	if !client.IsValid() {
		return false
	}
	for _, rate := range l {
		if !covers(&rate.Pattern, r, a) {
			continue
		}
		if wait := rate.take(block(client), r.Time()); wait > 0 {
			a.Set(keyRetryAfter, strconv.AppendInt(nil, int64(math.Ceil(wait.Seconds())), 10))
			a.Fail(http.StatusTooManyRequests)
			return true
		}
	}
	return false
}

// block returns what is counted for a client: of IPv6 its network, as it has all of that.
func block(a netip.Addr) netip.Addr {
	if a = a.Unmap(); a.Is4() {
		return a
	}
	p, err := a.WithZone("").Prefix(64)
	if err != nil {
		return a
	}
	return p.Addr()
}

// take counts a request, and returns how long the client has to wait if it is one too
// many.
func (r *rate) take(client netip.Addr, now time.Time) (wait time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	free, seen := r.clients[client]
	if !seen && len(r.clients) >= mostClients {
		r.forget(now)
	}
	if free.Before(now) {
		free = now
	}
	if free = free.Add(r.each); free.Sub(now) > r.burst {
		return free.Sub(now) - r.burst
	}
	r.clients[client] = free
	return 0
}

// forget makes room: it forgets those who have used up nothing, or where all have, some.
func (r *rate) forget(now time.Time) {
	for c, free := range r.clients {
		if free.Before(now) {
			delete(r.clients, c)
		}
	}
	for c := range r.clients {
		if len(r.clients) < mostClients-mostClients/8 {
			return
		}
		delete(r.clients, c)
	}
}
