package main

import (
	"errors"
	"fmt"
	"net"
	"os"

	"github.com/cloudflare/tableflip"

	"github.com/escahttp/esca/conn"
)

// upgrades hands listening sockets on to a process that takes the place of this one, and
// has those of the process before. nil: this system cannot.
type upgrades struct{ *tableflip.Upgrader }

func newUpgrades() (*upgrades, error) {
	u, err := tableflip.New(tableflip.Options{})
	if errors.Is(err, tableflip.ErrNotSupported) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("the sockets of the process before cannot be had: %w", err)
	}
	return &upgrades{u}, nil
}

func socketName(a *address, i int) string { return fmt.Sprintf("%s#%d", a.text, i) }

// inherited returns the sockets that the process before has at a; none: it had no such
// address. The caller closes them.
func (u *upgrades) inherited(a *address) (files []*os.File, err error) {
	for u != nil {
		f, err := u.File(socketName(a, len(files)))
		if err != nil {
			closeFiles(files)
			return nil, err
		}
		if f == nil {
			break
		}
		files = append(files, f)
	}
	return files, nil
}

// keep has the sockets of ln, which is opened, be there for the next process.
func (u *upgrades) keep(a *address, ln *conn.Listener) error {
	if u == nil {
		return nil
	}
	files, err := ln.Files()
	if err != nil {
		return err
	}
	defer closeFiles(files)
	for i, f := range files {
		if err := u.AddFile(socketName(a, i), f); err != nil {
			return err
		}
	}
	return nil
}

// file returns a socket of that name that the process before has; nil: it had none. The
// caller closes it.
func (u *upgrades) file(name string) (*os.File, error) {
	if u == nil {
		return nil, nil
	}
	return u.File(name)
}

// keepUDP has the socket of ln be there for the next process.
func (u *upgrades) keepUDP(name string, ln *conn.PacketListener) error {
	sock, ok := any(ln.PacketConn).(interface{ File() (*os.File, error) })
	if u == nil || !ok {
		return nil
	}
	f, err := sock.File()
	if err != nil {
		return err
	}
	defer f.Close()
	return u.AddFile(name, f)
}

// admin is net.Listen, unless the process before has it open.
func (u *upgrades) admin(network, addr string) (net.Listener, error) {
	if u == nil {
		return net.Listen(network, addr)
	}
	if ln, err := u.Listener(network, addr); ln != nil || err != nil {
		return ln, err
	}
	ln, err := net.Listen(network, addr)
	if err != nil {
		return nil, err
	}
	return ln, u.AddListener(network, addr, ln.(tableflip.Listener))
}

// ready has the process before end.
func (u *upgrades) ready() error {
	if u == nil {
		return nil
	}
	return u.Ready()
}

// stop closes what is kept for a next process: there will be none.
func (u *upgrades) stop() {
	if u != nil {
		u.Stop()
	}
}

// done is closed when a next process serves, or after stop.
func (u *upgrades) done() <-chan struct{} {
	if u == nil {
		return nil
	}
	return u.Exit()
}

// replace starts the program anew, as it is on disk now. When the new process serves this
// one ends; if it does not come to that, this one goes on.
func (t *site) replace() {
	t.out.Printf("upgrading: %s is started anew", os.Args[0])
	if err := asReady(t.upgrades.Upgrade); err != nil {
		t.out.Errorf("the upgrade has failed: %v; this process goes on", err)
	}
}

// notReady is what tableflip says of an upgrade that is asked for before Ready.
const notReady = "process is not ready yet"

// asReady is upgrade, once Ready has returned: tableflip's own goroutine may learn that
// later than it learns of the upgrade, which then would fail. Asked again, it knows.
func asReady(upgrade func() error) error {
	for {
		if err := upgrade(); err == nil || err.Error() != notReady {
			return err
		}
	}
}

func closeFiles(files []*os.File) {
	for _, f := range files {
		f.Close()
	}
}
