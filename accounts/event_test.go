package accounts

import (
	"encoding/json"
	"reflect"
	"testing"
	"time"
)

// everyEvent has events with each field that there is, and without.
func everyEvent() []Event {
	all := []Event{
		{Seq: 1, Address: "a@b", Kind: Added, By: "root", At: day(1), Effective: day(2).Add(1), Settings: Account{Owner: "山田", Maildir: "/m"}.settings()},
		{Seq: 1<<64 - 1, Address: "太郎@b", Kind: Subscribed, Service: Inbound, At: day(1), Effective: day(-9999), Note: "a note, of {sorts}"},
		{Kind: Changed, Settings: &Settings{}},
		{Kind: Changed, Settings: &Settings{Forward: &[]string{"a@b", "c@d"}, Main: new(true)}},
		{Kind: Changed, Settings: &Settings{Forward: &[]string{}, NoCopy: new(false), NoCourse: new(true)}, By: `a "quoted" name`},
		{Kind: Changed, Settings: &Settings{Maildir: new(""), Owner: new("<&>")}},
		{Kind: Changed, Settings: &Settings{Language: new("en"), Forward: new([]string)}},
	}
	for i := range all {
		if all[i].At.IsZero() {
			all[i].At, all[i].Effective = day(3), time.Date(2014, 1, 2, 3, 4, 5, 678_000_000, time.UTC)
		}
	}
	return all
}

// TestReadEvent: what it reads is what encoding/json reads, and all that has no
// escapes is read.
func TestReadEvent(t *testing.T) {
	escaped := map[int]bool{4: true, 5: true}
	for i, e := range everyEvent() {
		text, err := json.Marshal(e)
		if err != nil {
			t.Fatal(err)
		}
		var want Event
		if err := json.Unmarshal(text, &want); err != nil {
			t.Fatal(err)
		}
		got, ok := readEvent(string(text))
		if ok == escaped[i] || ok && !reflect.DeepEqual(got, want) {
			t.Errorf("%s: %+v, %t", text, got, ok)
		}
	}
}

// TestEventHasNoOtherFields: a new field of Event or Settings needs a line in readEvent,
// or each event with it is read slowly.
func TestEventHasNoOtherFields(t *testing.T) {
	if n, m := reflect.TypeFor[Event]().NumField(), reflect.TypeFor[Settings]().NumField(); n != 9 || m != 7 {
		t.Errorf("%d and %d fields", n, m)
	}
}

func FuzzReadEvent(f *testing.F) {
	for _, e := range everyEvent() {
		text, _ := json.Marshal(e)
		f.Add(string(text))
	}
	f.Fuzz(func(t *testing.T, text string) {
		got, ok := readEvent(text)
		if !ok {
			return
		}
		var want Event
		if err := json.Unmarshal([]byte(text), &want); err != nil {
			// A stored event was written by sealEvent, so its texts are what JSON allows.
			if b, err := json.Marshal(got); err == nil && string(b) == text {
				t.Errorf("%s: encoding/json says %v", text, err)
			}
			return
		}
		b, err := json.Marshal(got)
		if err == nil && string(b) == text && !reflect.DeepEqual(got, want) {
			t.Errorf("%s: %+v, want %+v", text, got, want)
		}
	})
}
