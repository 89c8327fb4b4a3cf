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
type users struct {
	hashes map[string][]byte
	// nobody is the hash of no password, which costs as much to check as the others: that
	// there is no such name does not show in how long it takes to say so.
	nobody []byte
}

// longestFile bounds how large a file may be.
const longestFile = 16 << 20

// readUsers reads the file at name.
func readUsers(name string) (*users, error) {
	text, err := os.ReadFile(name)
	if err != nil {
		return nil, err
	}
	return parseUsers(name, text)
}

// parseUsers reads lines of the form NAME:HASH, of which the hash is bcrypt's.
func parseUsers(name string, text []byte) (*users, error) {
	if len(text) > longestFile {
		return nil, fmt.Errorf("%s has more than %d bytes", name, longestFile)
	}
	u := &users{hashes: map[string][]byte{}}
	most := bcrypt.MinCost
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
		case u.hashes[user] != nil:
			return nil, fmt.Errorf("%s, line %d: %q is there twice", name, n, user)
		}
		most = max(most, cost)
		u.hashes[user] = []byte(hash)
	}
	if err := lines.Err(); err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	if len(u.hashes) == 0 {
		return nil, fmt.Errorf("%s: there is nobody in it: add somebody by htpasswd -B", name)
	}
	hash, err := bcrypt.GenerateFromPassword([]byte("no password"), most)
	u.nobody = hash
	return u, err
}

var errWrong = errors.New("there is no such name, or another password")

// check returns an error unless password is that of name.
func (u *users) check(name, password string) error {
	hash, ok := u.hashes[name]
	if !ok {
		hash = u.nobody
	}
	if bcrypt.CompareHashAndPassword(hash, []byte(password)) != nil || !ok {
		return errWrong
	}
	return nil
}
