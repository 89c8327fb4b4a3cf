package main

import (
	"fmt"
	"os"
	"reflect"
	"regexp"
	"strings"

	"github.com/alecthomas/kong"

	"github.com/escahttp/esca/cmd/escahttp/internal/config"
)

// fromFile takes flags from a configuration file: those that are neither on the command
// line nor in the environment. It is a kong.Resolver.
type fromFile struct {
	*config.File
	used map[string]bool // flags that were taken from it
}

// configName is the name of the configuration file: that of the command line, or else of
// the environment; "" if there is none.
func configName(args []string) string {
	name := os.Getenv("ESCAHTTP_CONFIG")
	for i, a := range args {
		switch {
		case a == "--":
			return name
		case a == "--config" && i+1 < len(args):
			name = args[i+1]
		case strings.HasPrefix(a, "--config="):
			name = strings.TrimPrefix(a, "--config=")
		}
	}
	return name
}

// readConfig reads the configuration file that args name; nil if they name none.
func readConfig(args []string) (*fromFile, error) {
	name := configName(args)
	if name == "" {
		return nil, nil
	}
	f, err := config.Read(name)
	if err != nil {
		return nil, err
	}
	return &fromFile{f, map[string]bool{}}, nil
}

// notInFile are flags that make no sense in a file.
var notInFile = map[string]bool{"config": true, "help": true, "version": true}

// Validate refuses keys that are no flags.
func (f *fromFile) Validate(app *kong.Application) error {
	known := []string{"root"}
	for _, n := range app.Leaves(false) {
		if n.Name != "serve" {
			continue
		}
		for _, flag := range n.Flags {
			if !notInFile[flag.Name] {
				known = append(known, flag.Name)
			}
		}
	}
	key, meant := f.Unknown(known)
	switch {
	case key == "":
		return nil
	case meant != "":
		return fmt.Errorf("%s: there is no key %q: did you mean %s?", f.Where(key), key, meant)
	}
	return fmt.Errorf("%s: there is no key %q: keys are the names of flags, which escahttp serve --help lists", f.Where(key), key)
}

// Resolve is kong.Resolver's.
func (f *fromFile) Resolve(_ *kong.Context, _ *kong.Path, flag *kong.Flag) (any, error) {
	for _, env := range flag.Envs {
		if _, ok := os.LookupEnv(env); ok {
			return nil, nil
		}
	}
	if notInFile[flag.Name] {
		return nil, nil
	}
	value, ok, err := f.Value(flag.Name)
	if err != nil || !ok {
		return nil, err
	}
	f.used[flag.Name] = true
	// It is read once more by kong, whose error would not name the file.
	scratch := reflect.New(flag.Target.Type()).Elem()
	if err := flag.Mapper.Decode(&kong.DecodeContext{Value: flag.Value, Scan: kong.Scan().PushTyped(value, kong.FlagValueToken)}, scratch); err != nil {
		return nil, err
	}
	return value, nil
}

// root is the directory that the file names; "" if none.
func (f *fromFile) root() (string, error) {
	if f == nil {
		return "", nil
	}
	root, _, err := f.Value("root")
	return root, err
}

var flagNamed = regexp.MustCompile(`--([a-z-]+)`)

// locate adds to an error that names a flag, taken from the file, where that is.
func (f *fromFile) locate(err error) error {
	if f == nil || err == nil {
		return err
	}
	if m := flagNamed.FindStringSubmatch(err.Error()); m != nil && f.used[m[1]] {
		return fmt.Errorf("%w (%s)", err, f.Where(m[1]))
	}
	if strings.HasPrefix(err.Error(), "ROOT") {
		if root, _ := f.root(); root != "" {
			return fmt.Errorf("%w (%s)", err, f.Where("root"))
		}
	}
	return err
}
