// Command escahttp serves static files on esca's loops.
//
//	escahttp [flags] [ROOT]               serves; escahttp serve --help lists the flags
//	escahttp check [flags] [ROOT]         says whether flags, configuration and files are good
//	escahttp backends                     says how system calls can be executed here
//	escahttp completion bash|zsh|fish
//	escahttp man
//
// It exits with status 2 if it was called wrongly, and 1 if it could not serve.
package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/escahttp/esca/cmd/escahttp/internal/errlog"
	"github.com/escahttp/esca/poller"
)

func main() {
	// Whoever reads the logs may go away: the write fails then, and that is all.
	signal.Ignore(syscall.SIGPIPE)
	out := errlog.New(struct {
		io.Writer
		io.Closer
	}{os.Stderr, io.NopCloser(nil)}, "escahttp: ")
	status := run(out, os.Args[1:])
	out.Close(lastWords)
	os.Exit(status)
}

// lastWords is how long the end waits for logs to be written.
const lastWords = time.Second

func run(out *errlog.Log, args []string) (status int) {
	cmd, err := parse(args)
	if err == nil && cmd != nil {
		err = cmd(out)
	}
	if err == nil {
		return 0
	}
	out.Errorf("%s", strings.ReplaceAll(err.Error(), "\n", "; "))
	if errors.As(err, &usageError{}) {
		return 2
	}
	return 1
}

func (*backendsCmd) run(*errlog.Log) error {
	for _, p := range poller.Probes() {
		fmt.Println(p)
	}
	return nil
}
