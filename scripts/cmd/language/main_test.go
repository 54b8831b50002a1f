package main

import (
	"strings"
	"testing"
)

func TestTermsAreFoundInProseAndInIdentifiers(t *testing.T) {
	t.Parallel()
	checker := newChecker(terms)
	for line, want := range map[string]string{
		"// The object belongs to somebody else.":            "somebody",
		"const labelErrand = \"weir.dev/errand\"":            "errand*",
		"ReasonFormerObjects = \"x\"":                        "former objects",
		"weir_drain_kafka_look_seconds":                      "kafka look",
		"weir-kafka-look":                                    "kafka look",
		"// storage asks for one volume (seed 000).":         "seed",
		"the examples/seed-001.yaml":                         "seed",
		"s := State{Connector: seed()}":                      "seed",
		"func TestStatusAlone(t *testing.T)":                 "status alone",
		"It ends in good order.":                             "in good order",
		"type HTTPMinder struct":                             "minder*",
		"all of them, but for the last":                      "but for",
		"The pods of the `Torn` set are replaced.":           "torn",
		"Whoever reads the Secret sees the task configs.":    "whoever",
		"a value that is no JSON is refused":                 "is no json",
		"an undisturbed run gives the same objects":          "undisturbed",
		"how often a perturbation disturbs the watch is set": "disturb*",
	} {
		var got []string
		for _, found := range checker.find(line) {
			got = append(got, found.words)
		}
		if !strings.Contains(strings.Join(got, ", "), want) {
			t.Errorf("%q: found %q, want %q", line, got, want)
		}
	}
}

func TestOrdinaryWordsAreAccepted(t *testing.T) {
	t.Parallel()
	checker := newChecker(terms)
	for _, line := range []string{
		"source := rand.New(rand.NewPCG(seed, 0)) // the random seed is in the log",
		"f.Add(data) // seed corpus",
		"kgo.SeedBrokers(addresses...)",
		"The name is taken from the label.",
		"It is not for the connector but for its tasks.",
		"amend the commit; recommended; transformer; information; performer",
		"origin, trigger, rigorous, original",
		"look at the page; hold the lease; live objects; here",
	} {
		if found := checker.find(line); len(found) > 0 {
			t.Errorf("%q: %q is refused", line, found[0].words)
		}
	}
}
