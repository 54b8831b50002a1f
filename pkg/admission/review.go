// Package admission serves a validating admission webhook over TLS. The service provides a function that reviews one
// request; this package reads and writes AdmissionReviews (admission.k8s.io/v1 and v1beta1), limits their size and
// duration, and provides the serving certificate: from files, from a Secret, or from its own certificate authority,
// which it rotates without interruption.
package admission

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	admissionv1 "k8s.io/api/admission/v1"
	admissionv1beta1 "k8s.io/api/admission/v1beta1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

// Request is an admission request of either version of AdmissionReview.
type Request struct {
	UID types.UID
	// Kind is the kind of the object, Resource and SubResource those of the request.
	Kind        metav1.GroupVersionKind
	Resource    metav1.GroupVersionResource
	SubResource string
	// Namespace and Name of the request. The object of a subresource may contain them too.
	Namespace, Name string
	Operation       string
	DryRun          bool
	// Object is the object as JSON; empty if the request has none.
	Object []byte
}

// Response is the response to a Request. The zero value denies the request.
type Response struct {
	Allowed bool
	// Code and Reason of the Status that the client of a denied request receives, for example 429 and TooManyRequests.
	Code    int32
	Reason  metav1.StatusReason
	Message string
	// Warnings are shown to the client whether or not the request is denied.
	Warnings []string
}

// Review reviews a request. Its context ends at the deadline of the response.
type Review func(context.Context, Request) Response

// ErrMalformed is the error of a request that is not a valid AdmissionReview.
var ErrMalformed = errors.New("not a valid AdmissionReview")

// decode parses a review. It does not parse the object.
func decode(body []byte) (apiVersion string, r Request, err error) {
	var review admissionv1.AdmissionReview
	if err := json.Unmarshal(body, &review); err != nil {
		return "", Request{}, fmt.Errorf("%w: %w", ErrMalformed, err)
	}
	switch {
	case review.Kind != "AdmissionReview":
		return "", Request{}, fmt.Errorf("%w: kind is %.64q, must be AdmissionReview", ErrMalformed, review.Kind)
	// v1 has more required response fields than v1beta1. Otherwise the versions are the same.
	case review.APIVersion != admissionv1.SchemeGroupVersion.String() &&
		review.APIVersion != admissionv1beta1.SchemeGroupVersion.String():
		return "", Request{}, fmt.Errorf(
			"%w: apiVersion is %.64q, must be admission.k8s.io/v1 or admission.k8s.io/v1beta1",
			ErrMalformed,
			review.APIVersion,
		)
	case review.Request == nil:
		return "", Request{}, fmt.Errorf("%w: request is missing", ErrMalformed)
	case review.Request.UID == "":
		return "", Request{}, fmt.Errorf("%w: request.uid is missing", ErrMalformed)
	}
	in := review.Request
	return review.APIVersion, Request{
		UID: in.UID, Kind: in.Kind, Resource: in.Resource, SubResource: in.SubResource,
		Namespace: in.Namespace, Name: in.Name,
		Operation: string(in.Operation), DryRun: in.DryRun != nil && *in.DryRun, Object: in.Object.Raw,
	}, nil
}

func encode(apiVersion string, uid types.UID, r Response) ([]byte, error) {
	response := &admissionv1.AdmissionResponse{UID: uid, Allowed: r.Allowed, Warnings: r.Warnings}
	if !r.Allowed || r.Message != "" {
		response.Result = &metav1.Status{Message: r.Message}
	}
	if !r.Allowed {
		// No details and no retryAfterSeconds: with those, clients retry silently and do not show the message.
		response.Result.Status, response.Result.Code, response.Result.Reason = metav1.StatusFailure, r.Code, r.Reason
	}
	review := admissionv1.AdmissionReview{
		TypeMeta: metav1.TypeMeta{Kind: "AdmissionReview", APIVersion: apiVersion},
		Response: response,
	}
	data, err := json.Marshal(review)
	if err != nil {
		return nil, fmt.Errorf("encode the response: %w", err)
	}
	return data, nil
}
