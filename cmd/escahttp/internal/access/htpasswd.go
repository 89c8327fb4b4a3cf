package access

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"os"
	"strings"

	"golang.org/x/crypto/bcrypt"
)

// users are those of an htpasswd file: hashes by name.
//
// A check costs the same for each name, also for one that is not there, so that how long it
// takes tells nothing: it is made up to the cost of the dearest hash. Cost n+1 is twice cost
// n; so where a hash costs n, others of n, n+1 and so on are checked as well.
type users struct {
	hashes map[string][]byte
	most   int            // the highest cost
	nobody map[int][]byte // hashes of no password, by cost
	// compare is bcrypt's. Tests put a double there.
	compare func(hash, password []byte) error
}

// highestCost is as much as htpasswd makes.
const highestCost = 17

// longestFile bounds how large a file may be.
const longestFile = 16 << 20

// readUsers reads the file at name.
func readUsers(name string) (*users, error) {
	text, err := os.ReadFile(name)
	if err != nil {
		return nil, fmt.Errorf("%w: give a file that this user may read (htpasswd -B -c %s NAME makes one)", err, name)
	}
	return parseUsers(name, text)
}

// parseUsers reads lines of the form NAME:HASH, of which the hash is bcrypt's.
func parseUsers(name string, text []byte) (*users, error) {
	if len(text) > longestFile {
		return nil, fmt.Errorf("%s has more than %d bytes", name, longestFile)
	}
	u := &users{hashes: map[string][]byte{}, most: bcrypt.MinCost, nobody: map[int][]byte{}, compare: bcrypt.CompareHashAndPassword}
	least := bcrypt.MaxCost
	lines := bufio.NewScanner(bytes.NewReader(text))
	for n := 1; lines.Scan(); n++ {
		line := strings.TrimSpace(lines.Text())
		if line == "" || line[0] == '#' {
			continue
		}
		user, hash, ok := strings.Cut(line, ":")
		cost, err := bcrypt.Cost([]byte(hash))
		switch {
		case !ok || user == "":
			return nil, fmt.Errorf("%s, line %d: it is not NAME:HASH: make such lines by htpasswd -B", name, n)
		case err != nil:
			return nil, fmt.Errorf("%s, line %d: the hash of %q is not bcrypt's: make it anew by htpasswd -B", name, n, user)
		case cost > highestCost:
			return nil, fmt.Errorf("%s, line %d: the hash of %q has cost %d, which takes too long to check: make it anew with one of up to %d", name, n, user, cost, highestCost)
		case u.hashes[user] != nil:
			return nil, fmt.Errorf("%s, line %d: %q is there twice", name, n, user)
		}
		u.most, least = max(u.most, cost), min(least, cost)
		u.hashes[user] = []byte(hash)
	}
	if err := lines.Err(); err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	if len(u.hashes) == 0 {
		return nil, fmt.Errorf("%s: there is nobody in it: add somebody by htpasswd -B", name)
	}
	for cost := least; cost <= u.most; cost++ {
		hash, err := bcrypt.GenerateFromPassword([]byte("no password"), cost)
		if err != nil {
			return nil, err
		}
		u.nobody[cost] = hash
	}
	return u, nil
}

var errWrong = errors.New("there is no such name, or another password")

// check returns an error unless password is that of name.
func (u *users) check(name, password string) error {
	hash, ok := u.hashes[name]
	if !ok {
		hash = u.nobody[u.most]
	}
	wrong := u.compare(hash, []byte(password)) != nil || !ok
	cost, err := bcrypt.Cost(hash)
	for ; err == nil && cost < u.most; cost++ {
		u.compare(u.nobody[cost], []byte(password))
	}
	if wrong {
		return errWrong
	}
	return nil
}
