package main

import "regexp"

// term is a word or phrase that the repository does not use.
type term struct {
	// words is the term in lower case. A line matches if it contains these words in this order, as prose or as parts of
	// an identifier: "status alone" matches StatusAlone and status_alone. A final * accepts any ending.
	words string
	// use is the replacement that the message suggests.
	use string
	// identifier limits the term to identifiers: the words are ordinary in prose.
	identifier bool
	// except lists texts in which the term is correct. They are removed from a line before it is checked.
	except *regexp.Regexp
}

// terms holds only terms that are never correct here. A word with an ordinary technical meaning, such as live, page,
// hold or stage, is not on the list.
var terms = []term{
	// Origins.
	{words: "seed", use: "the name of the thing, for example \"the csid Connect operator\"", except: seeding},
	{words: "seeds", use: "the name of the thing, for example \"Strimzi proposal 112\"", except: seeding},
	{words: "prototype*", use: "the name of the thing", except: regexp.MustCompile(`(?i)\bprototype pollution\b`)},

	// Public names.
	{words: "errand*", use: "one-shot pod, job pod"},
	{words: "former objects", use: "WaitingForDeletion", identifier: true},
	{words: "task away", use: "TaskUnavailable", identifier: true},
	{words: "name taken", use: "NameConflict", identifier: true},
	{words: "torn", use: "inconsistent"},
	{words: "kafka look", use: "kafka_query", identifier: true},
	{words: "isr taken", use: "isr_last_refresh", identifier: true},

	// Identifiers.
	{words: "status alone", use: "StatusOnly"},
	{words: "take along", use: "include"},
	{words: "look again", use: "recheck"},
	{words: "outlast*", use: "runUntil"},
	{words: "doubtful", use: "needsRecheck"},
	{words: "nameless", use: "ReplacementTimeout, or unnamed"},
	{words: "departures", use: "recentEvictions"},
	{words: "err late", use: "ErrDeadlineExceeded", identifier: true},
	{words: "minder*", use: "supervisor"},
	{words: "toy", use: "sample"},
	{words: "toys", use: "samples"},
	{words: "blinded", use: "droppedEvents"},
	{words: "rewound", use: "staleCache"},
	{words: "disturb*", use: "perturbation"},
	{words: "undisturbed", use: "unperturbed"},
	{words: "rig", use: "env"},
	{words: "rigs", use: "environments"},
	{words: "surroundings", use: "environment"},
	{words: "pursue*", use: "sync"},
	{words: "inquiry", use: "evaluation"},
	{words: "fixture", use: "environment"},
	{words: "fixtures", use: "environments"},

	// Prose.
	{words: "somebody", use: "another controller, another user"},
	{words: "nobody", use: "no other process, no user"},
	{words: "told", use: "reported"},
	{words: "whoever", use: "the user who, the controller that"},
	{words: "anew", use: "again", except: regexp.MustCompile(`ANew[A-Z]`)},
	{words: "mend", use: "fix"},
	{words: "mends", use: "fixes"},
	{words: "mended", use: "fixed"},
	{words: "mending", use: "fixing"},
	{words: "former", use: "previous"},
	{words: "formerly", use: "previously"},
	{words: "of late", use: "recently"},
	{words: "in good order", use: "gracefully"},
	{words: "as wished", use: "as desired"},
	{words: "by way of", use: "through"},
	{words: "but for", use: "except", except: regexp.MustCompile(`(?i)\bnot\b.*\bbut for\b`)},
	{words: "in their turn", use: "(nothing)"},
	{words: "in its turn", use: "(nothing)"},
	{words: "is wanted", use: "is desired, must be"},
	{words: "are wanted", use: "are desired, must be"},
	{words: "is not whole", use: "has tasks that are not running"},
	{words: "what runs goes on", use: "running pods are unchanged"},
	{words: "heed", use: "follow"},
	{words: "heeds", use: "follows"},
	{words: "heeded", use: "followed"},
	{words: "deeds", use: "writes"},
	{words: "hitherto", use: "until now"},
	{words: "thereof", use: "of it"},
	{words: "is no number", use: "is not a number"},
	{words: "what runs", use: "running pods"},
	{words: "is no json", use: "is not valid JSON"},
	{words: "are no json", use: "are not valid JSON"},
	{words: "ever more rarely", use: "at growing intervals"},
}

// seeding covers random seeds and the corpus of a fuzz test.
var seeding = regexp.MustCompile(
	`(?i)\b(random|fuzz|fuzzing|corpus|rand|math/rand)\b.*\bseed(s|ed)?\b|\bseed(s)? (corpus|of the random)\b|` +
		`\bfor seed := range\b|\bf\.Add\(seed\b|\bseed u?int64\b|"(random )?seed %d|\(t, seed\b|` +
		`\b(pcg|source|rand)\([^)]*seed\b|\bSetSeed\b|\bGenerateSeed\b|kafka\.SeedBrokers|kgo\.SeedBrokers`)
