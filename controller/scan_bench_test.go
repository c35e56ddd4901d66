package controller

import (
	"crypto/sha256"
	"fmt"
	"strings"
	"testing"

	"lanekeeper/model"
	"lanekeeper/pkg/jsonb"
)

// What a body is scanned for from its arrival to its publication: its syntax, its
// members, whether each payload can be stored and, where it has a key, what its
// hash is.
func BenchmarkPublishScan(b *testing.B) {
	const item = `{"id":"0195f3a2-7c1e-7d4b-9a55-6b1f0c2d3e4f","name":"Widget, large","price":12.50,"tags":["a","b"],"in_stock":true,"note":null}`
	payload := func(items int) string {
		return `{"order":4711,"items":[` + strings.TrimSuffix(strings.Repeat(item+",", items), ",") + `]}`
	}
	for name, items := range map[string]int{"256B": 2, "10KB": 80, "1MB": 8000} {
		for _, keyed := range []bool{false, true} {
			body := []byte(`{"payload":` + payload(items) + `}`)
			b.Run(fmt.Sprintf("one/%s/keyed=%v", name, keyed), func(b *testing.B) {
				b.SetBytes(int64(len(body)))
				b.ReportAllocs()
				for b.Loop() {
					if err := checkJSON(body); err != nil {
						b.Fatal(err)
					}
					var message model.PublishMessage
					if err := decodeObject(body, &message); err != nil {
						b.Fatal(err)
					}
					scanPayload(b, message.Payload, keyed)
				}
			})
		}
	}
	batch := []byte(`{"messages":[` + strings.TrimSuffix(strings.Repeat(`{"payload":`+payload(2)+`},`, 1000), ",") + `]}`)
	b.Run("batch/1000x256B", func(b *testing.B) {
		b.SetBytes(int64(len(batch)))
		b.ReportAllocs()
		for b.Loop() {
			if err := checkJSON(batch); err != nil {
				b.Fatal(err)
			}
			var raw model.RawBatch
			if err := decodeObject(batch, &raw); err != nil {
				b.Fatal(err)
			}
			for entry := range arrayEntries(raw.Messages) {
				if entry.err != nil {
					b.Fatal(entry.err)
				}
				scanPayload(b, entry.submission.Payload, false)
			}
		}
	})
}

func scanPayload(b *testing.B, payload []byte, keyed bool) {
	b.Helper()
	compact, err := jsonb.Scan(payload)
	if err != nil {
		b.Fatal(err)
	}
	if !keyed {
		return
	}
	if !compact {
		payload = jsonb.Compact(nil, payload)
	}
	_ = sha256.Sum256(payload)
}
