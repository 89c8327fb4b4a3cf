//go:build unix

package main

import (
	"bytes"
	"context"
	"os/exec"
	"strings"
	"testing"
	"time"
)

// printed is what escahttp prints, in a file of its own.
func printed(t *testing.T, args ...string) (text, file string) {
	t.Helper()
	out, err := escahttp(args...).Output()
	if err != nil {
		t.Fatal(err)
	}
	file = t.TempDir() + "/" + strings.Join(args, "-")
	put(t, file, out)
	return string(out), file
}

// offers runs a shell's script, and checks what of it is offered.
func offers(t *testing.T, shell string, args []string, typed string, want, not []string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	out, err := exec.CommandContext(ctx, shell, args...).CombinedOutput()
	if err != nil {
		t.Fatalf("%s, %q: %v, %s", shell, typed, err, out)
	}
	for _, w := range want {
		if !bytes.Contains(out, []byte(w)) {
			t.Errorf("%s, %q: %q is not offered in %s", shell, typed, w, out)
		}
	}
	for _, w := range not {
		if bytes.Contains(out, []byte(w)) {
			t.Errorf("%s, %q: %q is offered in %s", shell, typed, w, out)
		}
	}
}

// typing is what is typed, and what is to be offered.
var typing = []struct {
	words     []string
	want, not []string
}{
	{[]string{"escahttp", "ch"}, []string{"check"}, []string{"backends"}},
	{[]string{"escahttp", "--et"}, []string{"--etag"}, []string{"--addr"}},
	{[]string{"escahttp", "--no-pre"}, []string{"--no-precompressed"}, nil},
	{[]string{"escahttp", "check", "--real"}, []string{"--real-ip"}, nil},
	{[]string{"escahttp", "--etag", "c"}, []string{"content"}, []string{"mtime"}},
	{[]string{"escahttp", "--backend", ""}, []string{"auto", "direct"}, nil},
	{[]string{"escahttp", "completion", ""}, []string{"bash", "zsh", "fish"}, []string{"--etag"}},
	{[]string{"escahttp", "--tls-cert", "fi"}, []string{"file.pem"}, []string{"folder"}},
	{[]string{"escahttp", "fo"}, []string{"folder"}, nil},
}

// place is a folder with something in it to be offered.
func place(t *testing.T) string {
	dir := t.TempDir()
	put(t, dir+"/file.pem", nil)
	put(t, dir+"/folder/x", nil)
	return dir
}

func TestBashCompletion(t *testing.T) {
	bash := have(t, "bash")
	_, file := printed(t, "completion", "bash")
	if out, err := exec.Command(bash, "-n", file).CombinedOutput(); err != nil {
		t.Fatalf("%v, %s", err, out)
	}
	dir := place(t)
	const script = `cd "$1"; source "$2"; shift 2; COMP_WORDS=("$@"); COMP_CWORD=$(($#-1)); _escahttp; printf '%s\n' "${COMPREPLY[@]}"`
	more := append(typing[:len(typing):len(typing)], typing[4])
	more[len(typing)].words = []string{"escahttp", "--etag", "=", "c"} // as bash splits it
	for _, tt := range more {
		offers(t, bash, append([]string{"-c", script, "bash", dir, file}, tt.words...), strings.Join(tt.words, " "), tt.want, tt.not)
	}
}

func TestFishCompletion(t *testing.T) {
	fish := have(t, "fish")
	_, file := printed(t, "completion", "fish")
	dir := place(t)
	for _, tt := range typing {
		line := strings.Join(tt.words, " ")
		offers(t, fish, []string{"--no-config", "-c", "cd " + dir + "; source " + file + "; complete -C '" + line + "' | string split -f 1 \\t; true"}, line, tt.want, tt.not)
	}
}

// In zsh the line is typed on a terminal of its own.
func TestZshCompletion(t *testing.T) {
	zsh := have(t, "zsh")
	_, file := printed(t, "completion", "zsh")
	dir := place(t)
	const script = `
zmodload zsh/zpty
zpty z zsh -f -i
zpty -w z "cd $1; autoload -U compinit; compinit -D; source $2; source $4; PS1=RE''ADY"
zpty -r z out '*READY*'
zpty -w -n z "$3"$'\t'
zpty -r z out '*FINISHED*'
zpty -d z
print -rl -- ${(M)${(f)out}:#HIT*}`
	// What is added to the list is told, and when that is over.
	tell := t.TempDir() + "/tell"
	put(t, tell, []byte(`compadd() {
  local -a hits
  if [[ ! ${@[1,(i)(-|--)]} == *-(O|A|D)\ * ]]; then
    builtin compadd -A hits "$@"
    print -rl -- "" HIT:$^hits
  fi
  builtin compadd "$@"
}
finish() { print -l "" FINISHED }
comppostfuncs=(finish)
`))
	for _, tt := range typing {
		line := strings.Join(tt.words, " ")
		offers(t, zsh, []string{"-f", "-c", script, "zsh", dir, file, line, tell}, line, tt.want, tt.not)
	}
}

func TestManPage(t *testing.T) {
	text, file := printed(t, "man")
	for _, want := range []string{".SH NAME\nescahttp \\- a static file server", "\\fB\\-\\-etag\\fR=", ".SS Header fields", "Environment: \\fBESCAHTTP_CACHE_CONTROL\\fR", ".SH SIGNALS", "\\fB\\-\\-no\\-precompressed\\fR"} {
		if !strings.Contains(text, want) {
			t.Errorf("%q is not in the page", want)
		}
	}
	mandoc := have(t, "mandoc")
	out, _ := exec.Command(mandoc, "-T", "lint", file).CombinedOutput()
	for line := range strings.Lines(string(out)) {
		if !strings.Contains(line, "missing date") { // which would be another with each build
			t.Error(line)
		}
	}
}
