package jsonb_test

import (
	"testing"

	"lanekeeper/pkg/jsonb"
)

// What Check accepts a real PostgreSQL stores, and it means the same afterwards.
func FuzzStorable(f *testing.F) {
	for _, seed := range []string{
		`{"a":[1,2.5e-3,"x\u00e9",null,true,{}]}`, `"\ud83d\ude00"`, `"\ud83d"`, `1e999`, `-0.0e-998`, `"\u0000"`, "\"\x7f\"", `{"":{"":[[]]}}`, "0e-16384", "\"\u2028\"",
	} {
		f.Add([]byte(seed))
	}
	conn := connect(f)
	f.Fuzz(func(t *testing.T, text []byte) {
		if jsonb.Check(text) != nil {
			return
		}
		back, err := roundTrip(conn, string(text))
		if err != nil {
			t.Fatalf("%q was accepted, but: %v", text, err)
		}
		if !sameJSON(string(text), back) {
			t.Fatalf("%q came back as %q", text, back)
		}
		if len(back) > 2*len(text)+jsonb.MaxGrowth {
			t.Fatalf("%d bytes came back as %d", len(text), len(back))
		}
	})
}
