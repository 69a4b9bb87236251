package api

import (
	"maps"
	"reflect"
	"slices"
	"strings"
	"testing"

	"gopkg.in/yaml.v2"
)

// The description has every method and no other, and each schema has the fields of the type that it is called after.
func TestDescription(t *testing.T) {
	type schema struct {
		Properties map[string]any
	}
	var d struct {
		Paths      map[string]any
		Components struct{ Schemas map[string]schema }
	}
	if err := yaml.Unmarshal(description, &d); err != nil {
		t.Fatal(err)
	}
	var methods []string
	for name := range Handler(nil, "").(*handler).methods {
		methods = append(methods, Path+name)
	}
	if got, want := slices.Sorted(maps.Keys(d.Paths)), slices.Sorted(slices.Values(methods)); !slices.Equal(got, want) {
		t.Errorf("paths %q, want %q", got, want)
	}
	types := []any{
		empty{}, failure{}, position{}, publishRequest{}, broadcastRequest{}, broadcastResult{}, subscribeRequest{}, unsubscribeRequest{},
		disconnectRequest{}, refreshRequest{}, channelRequest{}, presenceResult{}, person{}, presenceStatsResult{}, historyRequest{},
		historyResult{}, publication{}, channelsRequest{}, channelsResult{}, infoResult{},
	}
	if len(types) != len(d.Components.Schemas) {
		t.Errorf("%d schemas of %d types", len(d.Components.Schemas), len(types))
	}
	for _, v := range types {
		name := reflect.TypeOf(v).Name()
		got, want := slices.Sorted(maps.Keys(d.Components.Schemas[name].Properties)), slices.Sorted(slices.Values(fields(reflect.TypeOf(v))))
		if !slices.Equal(got, want) {
			t.Errorf("%s has %q in the description, and %q in fact", name, got, want)
		}
	}
}

// fields returns the names that a struct's fields have in JSON.
func fields(of reflect.Type) (names []string) {
	for f := range of.Fields() {
		if f.Anonymous {
			names = append(names, fields(f.Type)...)
			continue
		}
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		names = append(names, name)
	}
	return names
}
