//go:build linux

package main

import (
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestAgreement(t *testing.T) {
	written := func(cpu time.Duration) string {
		o := outcomeOf(3, cpu, 10*time.Millisecond)
		o.Name = "hello"
		o.summarize()
		dir := t.TempDir()
		if err := (&report{Outcomes: []*outcome{o}}).write(dir); err != nil {
			t.Fatal(err)
		}
		return dir
	}
	first := written(8 * time.Millisecond)
	for _, tc := range []struct {
		name, second, err, says string
	}{
		{"equal", written(8 * time.Millisecond), "", "0.0 %"},
		{"near", written(8240 * time.Microsecond), "", "3.0 %"},
		{"above", written(9 * time.Millisecond), "1 of 1 ratios are more than 5 % apart", "12.5 %"},
		{"below", written(7 * time.Millisecond), "1 of 1 ratios are more than 5 % apart", "14.3 %"},
		{"not there", filepath.Join(first, "no"), "no report of an earlier run", ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			var said strings.Builder
			err := printAgreement(&said, first, tc.second)
			if tc.err == "" && err != nil || tc.err != "" && (err == nil || !strings.Contains(err.Error(), tc.err)) {
				t.Errorf("error %v, want %q", err, tc.err)
			}
			if !strings.Contains(said.String(), tc.says) {
				t.Errorf("%q is not in what it says:\n%s", tc.says, said.String())
			}
		})
	}
}

func TestAgreementNamesWhatIsMissing(t *testing.T) {
	o := outcomeOf(1, time.Millisecond, time.Millisecond)
	o.Name = "hello"
	o.summarize()
	all, missing := agreements(&report{Outcomes: []*outcome{o}}, &report{})
	if len(all) != 0 || len(missing) != 1 || missing[0] != "hello beside b" {
		t.Errorf("in common %v, missing %v", all, missing)
	}
}
