/*
 * cae: archives scientific floating-point arrays in few bytes at a proved error bound.
 *
 * Rules that hold for every function:
 * - A function that can fail returns a cae_status: 0, or why not; cae_error_message() then says it in words.
 * - A pointer must be NULL or point to what its type and description say. NULL is an error where the description does not
 *   allow it. Counts are of values, not of bytes, unless they are named bytes. Text is UTF-8 and ends with NUL.
 * - Arrays of values lie in C order (the last index runs fastest), aligned for their type, in this machine's byte order.
 * - An option struct whose bytes are all 0 holds the defaults, and NULL stands for it. What an output pointer receives is
 *   defined only where the function returns 0, but handles, which are NULL after a failure.
 * - A handle is freed by the function that its type names, once, when no other call with it is running. "Threads: any"
 *   means that any number of threads may make the call at one time, even with one handle; "Threads: one" means one call
 *   with this handle at a time, from any thread.
 * - No function prints, exits, aborts or calls back, but for the callbacks in its arguments. A callback must return: it must
 *   neither throw nor jump out.
 */


#ifndef CAE_H
#define CAE_H

/* Made by cbindgen from bindings/c/src; CAE_UPDATE_HEADER=1 cargo test -p cae-c --test header writes it anew. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

// Most dimensions that an array of a file can have.
#define CAE_MAX_DIMS 8

// Why a call failed: one code for each party that can do something about it.
typedef enum cae_status {
  // It did not fail.
  CAE_STATUS_OK = 0,
  // The bytes break the specification; no reader will do better.
  CAE_STATUS_FORMAT = 1,
  // Valid, but needs a newer reader, a model that is not there, or something this build lacks.
  CAE_STATUS_UNSUPPORTED = 2,
  // Valid, but over the limits that the caller set.
  CAE_STATUS_LIMIT = 3,
  // A model was refused or failed to run.
  CAE_STATUS_MODEL = 4,
  // An argument is wrong; the file is not to blame.
  CAE_STATUS_ARGUMENT = 5,
  // Reading or writing failed.
  CAE_STATUS_IO = 6,
  // A defect of this library. A handle that the call was given must only be freed.
  CAE_STATUS_INTERNAL = 7,
} cae_status;

// Type of an array's values.
typedef enum cae_type {
  // IEEE 754 binary32, "float".
  CAE_TYPE_F32 = 1,
  // IEEE 754 binary64, "double".
  CAE_TYPE_F64 = 2,
} cae_type;

// The kinds of bound, with the numbers of the specification (SPEC.md 4.3).
typedef enum cae_bound_kind {
  // Every value comes back bit for bit.
  CAE_BOUND_KIND_LOSSLESS = 0,
  // |x - y| <= value at every point.
  CAE_BOUND_KIND_ABSOLUTE = 1,
  // |x - y| <= value * (max - min).
  CAE_BOUND_KIND_RANGE = 2,
  // |x - y| <= value * |x| at every point; zeros come back bit for bit.
  CAE_BOUND_KIND_POINTWISE = 3,
  // The root of the mean squared error is at most value.
  CAE_BOUND_KIND_RMSE = 4,
  // The peak signal-to-noise ratio is at least value, in dB.
  CAE_BOUND_KIND_PSNR = 5,
  // The bytes of the values are at least value times those of the frames.
  CAE_BOUND_KIND_RATIO = 6,
  // |x - y| <= a bound of each point's own, which an array of the same shape gives.
  CAE_BOUND_KIND_BY_POINT = 7,
} cae_bound_kind;

// How hard to look for the fewest bytes.
typedef enum cae_preset {
  // One kernel with context coding.
  CAE_PRESET_BALANCED = 0,
  // The fast kernel alone: for data on the move.
  CAE_PRESET_FAST = 1,
  // Every kernel with all its contexts: for archives.
  CAE_PRESET_SMALL = 2,
} cae_preset;

// A decoder and, for writing, the encoder that makes its latents. Freed with cae_close_model.
typedef struct cae_model cae_model;

// An open file. Freed with cae_close.
typedef struct cae_reader cae_reader;

// A file being written. Freed with cae_commit, cae_finish_memory or cae_abandon.
typedef struct cae_writer cae_writer;

// A bound and its number.
typedef struct cae_bound {
  // A cae_bound_kind.
  uint32_t kind;
  // The number, positive and finite; of no meaning for the kinds lossless and by point.
  double value;
} cae_bound;

// What is asked for one frame. Zeros are the defaults.
typedef struct cae_frame_options {
  // The error that is accepted, but by point. A range, mean or ratio is that of the frame. Default: lossless.
  struct cae_bound bound;
  // A cae_preset. Default: balanced.
  uint32_t preset;
  // A value that stands for "missing": it comes back bit for bit and disturbs no neighbor. NULL for none.
  const double *fill;
  // A model to predict with, its encoder included if it has one; cae_decompress_frame needs the same where the report says so.
  // NULL for none.
  const struct cae_model *model;
  // Threads that try ways of coding side by side; 0 is one.
  size_t threads;
  // Codes without the model where its rounding errors on other machines might break the bound, instead of failing.
  bool fall_back;
} cae_frame_options;

// Bytes that the library allocated; freed with cae_free_bytes.
typedef struct cae_bytes {
  // The first byte; NULL if there are none.
  uint8_t *data;
  // How many.
  size_t len;
} cae_bytes;

// What became of the values that were coded. Every one was decoded and compared with its bound.
typedef struct cae_report {
  // Bytes of the values.
  uint64_t input_bytes;
  // Bytes of the frame or frames.
  uint64_t stored_bytes;
  // The bound as it holds at each point: lossless, absolute or point-wise.
  struct cae_bound tolerance;
  // Largest |x - y|.
  double max_error;
  // Largest error as a multiple of the bound at its point, at most 1; 0 for lossless.
  double max_error_over_bound;
  // Root of the mean squared error.
  double rmse;
  // Whether reading needs the model.
  bool needs_model;
} cae_report;

// Bounds on what reading may cost. cae_default_limits gives the defaults; UINT64_MAX lifts a limit.
typedef struct cae_limits {
  // Bytes of memory that one call may hold beside the caller's buffer.
  uint64_t memory;
  // Bytes of an array or region that one call returns.
  uint64_t array_bytes;
  // Bytes of the directory.
  uint64_t directory_bytes;
  // Values of one frame.
  uint64_t frame_values;
  // Bytes of one model.
  uint64_t model_bytes;
  // Nodes of one model.
  uint64_t model_nodes;
  // Elements of the largest tensor that a model makes for one block.
  uint64_t model_elements;
  // Multiply-adds that a model spends on one block.
  uint64_t model_operations;
} cae_limits;

// How a file is read. Zeros are the defaults.
typedef struct cae_read_options {
  // What the file may cost; NULL for the defaults.
  const struct cae_limits *limits;
  // Threads over frames; 0 for one a processor.
  size_t threads;
  // Folders that hold models kept outside of files, each named by its digest: 64 hex digits and ".onnx".
  const char *const *model_folders;
  // How many folders.
  size_t model_folder_count;
} cae_read_options;

// Fetches the bytes of a file from `offset` on, `len` of them, all of which lie within it, to `out`. Called from several threads at
// one time unless the file is read with one. Returns 0, or a number that the error message repeats.
typedef int (*cae_read_at)(uint64_t offset,
                           uint8_t *out,
                           size_t len,
                           void *user);

// One array of a file. The texts live as long as the reader.
typedef struct cae_array_info {
  // The name, unique in the file.
  const char *name;
  // Text of a JSON object, or empty.
  const char *attributes;
  // Type of the values, a cae_type.
  uint32_t type;
  // Number of dimensions; 0 for a scalar.
  size_t ndim;
  // The extent of each dimension; 0 beyond `ndim`.
  uint64_t shape[CAE_MAX_DIMS];
  // The extent of a frame in each dimension; 0 beyond `ndim`. Regions made of whole frames read fastest.
  uint64_t frame_shape[CAE_MAX_DIMS];
  // The name of each dimension; NULL beyond `ndim`, and everywhere if the dimensions have no names.
  const char *dim_names[CAE_MAX_DIMS];
  // Number of values.
  uint64_t values;
  // Number of frames.
  uint64_t frames;
  // Bytes of the frames.
  uint64_t stored_bytes;
  // The bound as the writer was asked for it.
  struct cae_bound bound;
  // The bound as it holds at each point: lossless, absolute or point-wise.
  struct cae_bound tolerance;
  // Index of the model that its frames need; -1 if they need none.
  int64_t model;
} cae_array_info;

// Called with the numbers of values done and in all, and the caller's pointer, on the thread that made the call.
typedef void (*cae_progress)(uint64_t done,
                             uint64_t total,
                             void *user);

// What is asked for one array. Zeros are the defaults.
typedef struct cae_array_options {
  // The error that is accepted. Default: lossless.
  struct cae_bound bound;
  // For a bound by point: the bound of every point, as many as the array has values. Points whose bound is no positive number
  // come back bit for bit. NULL for other kinds.
  const double *point_bounds;
  // A cae_preset. Default: balanced.
  uint32_t preset;
  // A value that stands for "missing": it comes back bit for bit and disturbs no neighbor. NULL for none.
  const double *fill;
  // One name a dimension; NULL for none.
  const char *const *dim_names;
  // Text of a JSON object; NULL for none.
  const char *attributes;
  // Extent of a frame in each dimension; NULL to leave the choice to the preset.
  const uint64_t *frame_shape;
  // The model that codes it, as cae_add_model numbered it; 0 for none.
  uint32_t model;
  // Threads over frames; 0 for one a processor.
  size_t threads;
  // Called as frames are done; NULL for no calls.
  cae_progress progress;
  // Passed to `progress`.
  void *progress_user;
  // Codes frames without the model where its rounding errors on other machines might break the bound, instead of failing.
  bool fall_back;
} cae_array_options;

// Fetches the box of `extent[d]` values from `start[d]` on, in each of `ndim` dimensions, into `out`, in C order. Called from
// several threads at one time unless the array is coded with one. Returns 0, or a number that the error message repeats.
typedef int (*cae_fetch)(size_t ndim,
                         const uint64_t *start,
                         const size_t *extent,
                         void *out,
                         void *user);

#ifdef __cplusplus
extern "C" {
#endif // __cplusplus

// What made the last call of this thread that failed fail; empty if none has. Valid until the next call of this
// thread that fails. Threads: any.
const char *cae_error_message(void);

// The name of a status, such as "format"; "unknown" for other numbers. Threads: any.
const char *cae_status_name(uint32_t status);

// The version of this library, such as "0.1.0". Threads: any.
const char *cae_version(void);

// The version of the format that this library writes, and the newest that it reads. Threads: any.
enum cae_status cae_format_version(uint8_t *major,
                                   uint8_t *minor);

// Codes the values of an array of shape `shape`, `ndim` extents, as one frame. Neither type, shape nor bound are in it.
// `options` and `report` may be NULL; `frame` is freed with cae_free_bytes. Threads: any.
enum cae_status cae_compress_frame(const void *values,
                                   uint32_t type,
                                   const size_t *shape,
                                   size_t ndim,
                                   const struct cae_frame_options *options,
                                   struct cae_bytes *frame,
                                   struct cae_report *report);

// Decodes a frame of `frame_bytes` bytes into `out`, which has room for the `out_values` values of the shape. `model` and
// `limits` may be NULL; a frame that needs a model and is given none is `UNSUPPORTED`. A failure may leave part of the
// values in `out`. Threads: any.
enum cae_status cae_decompress_frame(const uint8_t *frame,
                                     size_t frame_bytes,
                                     uint32_t type,
                                     const size_t *shape,
                                     size_t ndim,
                                     const struct cae_model *model,
                                     const struct cae_limits *limits,
                                     void *out,
                                     size_t out_values);

// Vets and loads a model from the bytes of ONNX files, which may be freed afterwards. `encoder` may be NULL with
// `encoder_bytes` 0 where nothing will be written, and for a network in the loop, which has none; `limits` may be NULL. Threads: any.
enum cae_status cae_load_model(const uint8_t *decoder,
                               size_t decoder_bytes,
                               const uint8_t *encoder,
                               size_t encoder_bytes,
                               const struct cae_limits *limits,
                               struct cae_model **model);

// Writes the SHA-256 of the decoder's bytes, which names the model, to the 32 bytes at `digest`. Threads: any.
enum cae_status cae_model_digest(const struct cae_model *model,
                                 uint8_t *digest);

// Frees a model; NULL is allowed. Threads: one.
void cae_close_model(struct cae_model *model);

// Opens the file at `path`; `options` may be NULL. Where the platform can, the file is mapped: it must not be truncated
// or changed while it is open, which could end the process. cae_open_memory has no such hazard. Threads: any.
enum cae_status cae_open(const char *path,
                         const struct cae_read_options *options,
                         struct cae_reader **reader);

// Opens a file that is in memory: `len` bytes at `bytes`, which must stay there unchanged until cae_close. `options` may be
// NULL. Threads: any.
enum cae_status cae_open_memory(const uint8_t *bytes,
                                size_t len,
                                const struct cae_read_options *options,
                                struct cae_reader **reader);

// Opens a file of `file_bytes` bytes that is neither mapped nor in memory: `read_at` fetches what is needed of it, with `user`, which
// is yours and stays valid until cae_close. Opening takes two or three calls, reading one for each frame. `options` may be NULL.
// Threads: any.
enum cae_status cae_open_read_at(cae_read_at read_at,
                                 void *user,
                                 uint64_t file_bytes,
                                 const struct cae_read_options *options,
                                 struct cae_reader **reader);

// Frees a reader; NULL is allowed. Threads: one.
void cae_close(struct cae_reader *reader);

// The number of arrays in the file; 0 for NULL. Threads: any.
size_t cae_array_count(const struct cae_reader *reader);

// Writes the index of the array named `name` to `index`. Threads: any.
enum cae_status cae_find_array(const struct cae_reader *reader,
                               const char *name,
                               size_t *index);

// Writes what is known of array `index`, counted from 0 in the order of the file, to `info`. Threads: any.
enum cae_status cae_describe_array(const struct cae_reader *reader,
                                   size_t index,
                                   struct cae_array_info *info);

// Reads array `index` into `out`, which has room for `out_values` values of `type`: just those of the array. Threads: any.
enum cae_status cae_read(const struct cae_reader *reader,
                         size_t index,
                         uint32_t type,
                         void *out,
                         size_t out_values);

// Reads a box of array `index`, `extent[d]` values from index `start[d]` on in each of the `ndim` dimensions of the array, into
// `out`, which has room for `out_values` values of `type`: just those of the box. Only frames that hold some of them are
// decoded. Threads: any.
enum cae_status cae_read_region(const struct cae_reader *reader,
                                size_t index,
                                size_t ndim,
                                const uint64_t *start,
                                const uint64_t *extent,
                                uint32_t type,
                                void *out,
                                size_t out_values);

// cae_read_region, but what a damaged frame held becomes NaN, and `damaged` receives the number of such frames. Threads: any.
enum cae_status cae_salvage_region(const struct cae_reader *reader,
                                   size_t index,
                                   size_t ndim,
                                   const uint64_t *start,
                                   const uint64_t *extent,
                                   uint32_t type,
                                   void *out,
                                   size_t out_values,
                                   uint64_t *damaged);

// Decodes every frame of array `index` and compares it with its checksum and digest. `damaged` receives the number of frames that
// are damaged, `digest`, if not NULL, the digest of the array. Threads: any.
enum cae_status cae_verify(const struct cae_reader *reader,
                           size_t index,
                           uint64_t *damaged,
                           uint32_t *digest);

// The ONNX bytes of the file's model `index`, from the file or a model folder; freed with cae_free_bytes. Threads: any.
enum cae_status cae_model_bytes(const struct cae_reader *reader,
                                size_t index,
                                struct cae_bytes *bytes);

// Writes the default limits to `limits`. Threads: any.
enum cae_status cae_default_limits(struct cae_limits *limits);

// Frees bytes that the library allocated, and sets `bytes` to none; NULL and none are allowed. Threads: any.
void cae_free_bytes(struct cae_bytes *bytes);

// Starts a file that will replace whatever is at `path` when cae_commit succeeds. Threads: any.
enum cae_status cae_create(const char *path,
                           struct cae_writer **writer);

// Starts a file in memory, which cae_finish_memory gives out. Threads: any.
enum cae_status cae_create_memory(struct cae_writer **writer);

// Adds a decoder, and the encoder that makes its latents if it has one (else NULL and 0), from the bytes of ONNX files; models come
// before arrays. With `embed` false
// only the digest is stored, and readers must be given the file. `model` receives the number for cae_array_options. Threads:
// one.
enum cae_status cae_add_model(struct cae_writer *writer,
                              const uint8_t *decoder,
                              size_t decoder_bytes,
                              const uint8_t *encoder,
                              size_t encoder_bytes,
                              bool embed,
                              uint32_t *model);

// Codes an array that is in memory. Every value is decoded with the reader's code and compared with its bound before it is
// written. `options` and `report` may be NULL. After a failure that is not of an argument the writer must only be freed.
// Threads: one.
enum cae_status cae_add_array(struct cae_writer *writer,
                              const char *name,
                              const void *values,
                              uint32_t type,
                              const uint64_t *shape,
                              size_t ndim,
                              const struct cae_array_options *options,
                              struct cae_report *report);

// cae_add_array for an array that need not fit memory: `fetch` is called for the values of each frame, with `user`. Threads: one.
enum cae_status cae_add_source(struct cae_writer *writer,
                               const char *name,
                               cae_fetch fetch,
                               void *user,
                               uint32_t type,
                               const uint64_t *shape,
                               size_t ndim,
                               const struct cae_array_options *options,
                               struct cae_report *report);

// Replaces the attributes of an array added before: for what is known only then. Threads: one.
enum cae_status cae_set_attributes(struct cae_writer *writer,
                                   const char *name,
                                   const char *attributes);

// Completes the file, reads it back, gives it its name and frees the writer, whether that succeeds or not; no file is left
// behind by a failure. `bytes`, if not NULL, receives the length of the file. A writer of cae_create_memory is refused before
// anything is done, and not freed. Threads: one.
enum cae_status cae_commit(struct cae_writer *writer,
                           uint64_t *bytes);

// Completes a file in memory and frees the writer, whether that succeeds or not. `bytes` receives the file, freed with
// cae_free_bytes. NULL and a writer of cae_create are refused before anything is done, and not freed. Threads: one.
enum cae_status cae_finish_memory(struct cae_writer *writer,
                                  struct cae_bytes *bytes);

// Frees a writer without completing its file, of which nothing is left; NULL is allowed. Threads: one.
void cae_abandon(struct cae_writer *writer);

#ifdef __cplusplus
}  // extern "C"
#endif  // __cplusplus

#endif  /* CAE_H */
