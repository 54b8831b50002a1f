package spec

import (
	"fmt"
	"strings"

	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation"

	storagev1alpha1 "github.com/weir-dev/weir/apis/storage/v1alpha1"
)

// Finding is a problem with the spec. Message names the field, the value and the fix.
type Finding struct {
	Reason  storagev1alpha1.VolumeReason
	Message string
	// Claim is the claim that the finding is about; empty if it is about the whole set.
	Claim string
}

// MaxVolumes keeps the status of a set below the size limit of an object.
const MaxVolumes = 2000

// Findings returns what is wrong with the spec beyond what the CustomResourceDefinition rejects, by severity.
func Findings(
	set *storagev1alpha1.KafkaLocalVolumeSet, others []*storagev1alpha1.KafkaLocalVolumeSet, settings Settings,
	owners Owners,
) []Finding {
	var found []Finding
	report := func(claim string, reason storagev1alpha1.VolumeReason, format string, args ...any) {
		found = append(found, Finding{reason, fmt.Sprintf(format, args...), claim})
	}
	s := set.Spec
	if !settings.Allowed(s.BasePath) {
		report("", storagev1alpha1.ReasonBasePathNotAllowed,
			"spec.basePath %s is not in --allowed-base-paths (%s); use one of these, or ask the administrator to add it",
			s.BasePath, strings.Join(settings.AllowedBasePaths, ", "))
	}
	if n := s.Nodes; n != nil && len(n.PerReplica) > 0 && len(n.PerReplica) < int(s.Replicas) {
		report("", storagev1alpha1.ReasonInvalidSpec,
			"spec.nodes.perReplica has %d nodes for spec.replicas %d; add %d nodes", len(n.PerReplica), s.Replicas,
			int(s.Replicas)-len(n.PerReplica))
	}
	if n := s.Nodes; n != nil && n.Selector != nil {
		if _, err := metav1.LabelSelectorAsSelector(n.Selector); err != nil {
			report("", storagev1alpha1.ReasonInvalidSpec, "spec.nodes.selector is invalid: %v; correct it", err)
		}
	}
	for _, t := range s.Templates {
		if t.Size.Sign() <= 0 {
			report("", storagev1alpha1.ReasonInvalidSpec,
				"spec.templates[%s].size %s must be greater than 0; use for example 5Gi", t.Name, t.Size.String())
		}
	}
	if n := int(s.Replicas) * len(s.Templates); n > MaxVolumes {
		report("", storagev1alpha1.ReasonInvalidSpec,
			"spec.replicas %d with %d templates are %d volumes, and a set has at most %d; split it into several sets",
			s.Replicas, len(s.Templates), n, MaxVolumes)
		return found
	}
	recorded := map[string]int64{}
	for _, v := range set.Status.Volumes {
		recorded[v.Claim] = v.Bytes
	}
	byClaim := map[string]string{}
	for _, v := range Volumes(set) {
		if other, twice := byClaim[v.Claim]; twice {
			report(v.Claim, storagev1alpha1.ReasonClaimInUse,
				"spec.templates[%s].claimNamePattern yields claim %s, which template %s yields too; use another pattern",
				v.Template.Name, v.Claim, other)
			continue
		}
		byClaim[v.Claim] = v.Template.Name
		if problems := validation.IsDNS1123Subdomain(v.Claim); len(problems) > 0 {
			report(v.Claim, storagev1alpha1.ReasonInvalidSpec,
				"spec.templates[%s].claimNamePattern yields claim %q: %s; use a shorter or a valid name",
				v.Template.Name, v.Claim, strings.Join(problems, ", "))
		}
		for _, element := range strings.Split(v.Path, "/") {
			if len(element) > 255 {
				report(v.Claim, storagev1alpha1.ReasonInvalidSpec, "spec.pathPattern %s yields a name of %d characters for "+
					"claim %s; file names have at most 255: use a shorter pattern", s.PathPattern, len(element), v.Claim)
			}
		}
		if before := recorded[v.Claim]; v.Template.Size.Sign() > 0 && v.Bytes() < before {
			report(v.Claim, storagev1alpha1.ReasonInvalidSpec,
				"spec.templates[%s].size %s is smaller than the size %s of claim %s; volumes cannot shrink: use at least %s",
				v.Template.Name, v.Template.Size.String(), text(before), v.Claim, text(before))
		}
	}
	return append(found, overlaps(set, others, owners)...)
}

func text(bytes int64) string { return resource.NewQuantity(bytes, resource.BinarySI).String() }
