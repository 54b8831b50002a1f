package env

// What make demo and the tests in e2e/storage, which run two of its chapters, have in common.
const (
	// DemoChapter is the environment variable with the chapter.
	DemoChapter = "WEIR_DEMO_CHAPTER"
	DemoGluster = "gluster"
	DemoQuota   = "quota"
	// DemoStep, DemoNote and DemoDone are the prefixes of lines with the title of a step, an explanation, and a result.
	DemoStep = "demo step: "
	DemoNote = "demo note: "
	DemoDone = "demo done: "
)
