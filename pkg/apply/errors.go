package apply

import (
	"errors"
	"fmt"
	"slices"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// IsRejected reports whether the API server understood a write and refused it: the object is invalid, too large or
// forbidden, for example by an admission webhook, a quota or missing rights. The user should read the reason in a
// condition. Writes into a terminating namespace are not rejections; see IsNamespaceTerminating.
func IsRejected(err error) bool {
	return IsPermanent(err) || apierrors.IsForbidden(err) && !IsNamespaceTerminating(err)
}

// IsPermanent reports whether the same write would be refused again until its content changes. A forbidden write is not
// permanent: quotas and rights change without the object.
func IsPermanent(err error) bool {
	return apierrors.IsInvalid(err) || apierrors.IsBadRequest(err) || apierrors.IsRequestEntityTooLargeError(err)
}

// IsGone reports whether a write failed because the object does not exist any more, or because another object with the
// same name or a newer version of it exists. The next reconcile reads the current state.
func IsGone(err error) bool { return apierrors.IsNotFound(err) || apierrors.IsConflict(err) }

// IgnoreGone returns nil for an error that IsGone, and err otherwise.
func IgnoreGone(err error) error {
	if IsGone(err) {
		return nil
	}
	return err
}

// IgnoreNotFound returns nil for a NotFound error, and err otherwise.
func IgnoreNotFound(err error) error {
	if apierrors.IsNotFound(err) {
		return nil
	}
	return err
}

// IsNamespaceTerminating reports whether a create failed because the namespace is being deleted. Retries are useless.
func IsNamespaceTerminating(err error) bool {
	return apierrors.HasStatusCause(err, corev1.NamespaceTerminatingCause)
}

// anotherObject returns a Conflict if err says that a write would change the UID of an object, because another object
// has its name. The API server reports that as an invalid change of an immutable field.
func anotherObject(err error) error {
	status := (*apierrors.StatusError)(nil)
	if !apierrors.IsInvalid(err) || !errors.As(err, &status) || status.ErrStatus.Details == nil {
		return err
	}
	details := status.ErrStatus.Details
	if !slices.ContainsFunc(details.Causes, func(c metav1.StatusCause) bool { return c.Field == "metadata.uid" }) {
		return err
	}
	return apierrors.NewConflict(schema.GroupResource{Group: details.Group, Resource: details.Kind}, details.Name,
		errors.New("another object has this name"))
}

// WriteError is a failed write of one object.
type WriteError struct {
	// Verb is "apply", "update", "patch" or "delete".
	Verb string
	// Kind and Name of the object.
	Kind, Name string
	// Err is the error of the API.
	Err error
}

func (e *WriteError) Error() string {
	return fmt.Sprintf("%s %s %s: %v", e.Verb, e.Kind, e.Name, e.Err)
}

// Unwrap returns the error of the API.
func (e *WriteError) Unwrap() error { return e.Err }
