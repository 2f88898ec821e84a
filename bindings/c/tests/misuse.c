/* Wrong use ends in a status and a message, never in a crash; nothing leaks. Argument: a folder to write in. */
#include <cae.h>
#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int failures;
#define CHECK(x) \
  do { \
    if (!(x)) { \
      fprintf(stderr, "line %d: %s (%s)\n", __LINE__, #x, cae_error_message()); \
      failures++; \
    } \
  } while (0)
/* Exactly this status, and a message that says why. */
#define FAILS(status, call) CHECK((call) == CAE_STATUS_##status && cae_error_message()[0] != 0)
#define WORKS(call) CHECK((call) == CAE_STATUS_OK)

enum { H = 24, W = 32 };
static float field[H][W];
static const size_t frame_shape[] = {H, W};
static const uint64_t shape[] = {H, W};

static void frames(void) {
  cae_bytes frame = {0};
  cae_report report;
  cae_frame_options options = {.bound = {CAE_BOUND_KIND_ABSOLUTE, 1e-3}};
  FAILS(ARGUMENT, cae_compress_frame(field, CAE_TYPE_F32, frame_shape, 2, &options, NULL, NULL));
  FAILS(ARGUMENT, cae_compress_frame(NULL, CAE_TYPE_F32, frame_shape, 2, &options, &frame, NULL));
  FAILS(ARGUMENT, cae_compress_frame(field, CAE_TYPE_F32, NULL, 2, &options, &frame, NULL));
  FAILS(ARGUMENT, cae_compress_frame((char *)field + 1, CAE_TYPE_F32, frame_shape, 2, &options, &frame, NULL));
  FAILS(ARGUMENT, cae_compress_frame(field, 3, frame_shape, 2, &options, &frame, NULL));
  const size_t huge[] = {SIZE_MAX / 2, 8}, large[] = {SIZE_MAX / 8}, none[] = {0};
  FAILS(ARGUMENT, cae_compress_frame(field, CAE_TYPE_F32, huge, 2, &options, &frame, NULL));
  FAILS(ARGUMENT, cae_compress_frame(field, CAE_TYPE_F64, large, 1, &options, &frame, NULL));
  FAILS(ARGUMENT, cae_compress_frame(field, CAE_TYPE_F32, none, 1, &options, &frame, NULL));
  const cae_bound wrong[] = {{99, 1}, {CAE_BOUND_KIND_ABSOLUTE, 0}, {CAE_BOUND_KIND_RANGE, NAN}, {CAE_BOUND_KIND_BY_POINT, 1}};
  for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
    cae_frame_options o = {.bound = wrong[i]};
    FAILS(ARGUMENT, cae_compress_frame(field, CAE_TYPE_F32, frame_shape, 2, &o, &frame, NULL));
  }
  cae_frame_options preset = {.preset = 3};
  FAILS(ARGUMENT, cae_compress_frame(field, CAE_TYPE_F32, frame_shape, 2, &preset, &frame, NULL));
  CHECK(frame.data == NULL && frame.len == 0);

  WORKS(cae_compress_frame(field, CAE_TYPE_F32, frame_shape, 2, &options, &frame, &report));
  CHECK(report.max_error <= 1e-3 && report.tolerance.kind == CAE_BOUND_KIND_ABSOLUTE && report.tolerance.value == 1e-3);
  CHECK(report.input_bytes == sizeof field && report.stored_bytes == frame.len && !report.needs_model);
  float *out = malloc(sizeof field);
  double *wide = malloc(2 * sizeof field);
  const size_t other[] = {W, H + 1};
  FAILS(ARGUMENT, cae_decompress_frame(frame.data, frame.len, CAE_TYPE_F32, frame_shape, 2, NULL, NULL, out, H * W - 1));
  FAILS(ARGUMENT, cae_decompress_frame(frame.data, frame.len, CAE_TYPE_F32, other, 2, NULL, NULL, out, H * W));
  FAILS(ARGUMENT, cae_decompress_frame(frame.data, frame.len, CAE_TYPE_F32, frame_shape, 2, NULL, NULL, NULL, H * W));
  FAILS(ARGUMENT, cae_decompress_frame(NULL, frame.len, CAE_TYPE_F32, frame_shape, 2, NULL, NULL, out, H * W));
  FAILS(FORMAT, cae_decompress_frame(frame.data, frame.len, CAE_TYPE_F64, frame_shape, 2, NULL, NULL, wide, H * W));
  cae_limits limits;
  WORKS(cae_default_limits(&limits));
  limits.frame_values = H * W - 1;
  FAILS(LIMIT, cae_decompress_frame(frame.data, frame.len, CAE_TYPE_F32, frame_shape, 2, NULL, &limits, out, H * W));
  /* Copies of the exact length, so that a read beyond the end is seen. */
  for (size_t n = 0; n < frame.len; n++) {
    uint8_t *cut = malloc(n + !n);
    memcpy(cut, frame.data, n);
    FAILS(FORMAT, cae_decompress_frame(cut, n, CAE_TYPE_F32, frame_shape, 2, NULL, NULL, out, H * W));
    free(cut);
    frame.data[n] ^= 0x10;
    FAILS(FORMAT, cae_decompress_frame(frame.data, frame.len, CAE_TYPE_F32, frame_shape, 2, NULL, NULL, out, H * W));
    frame.data[n] ^= 0x10;
  }
  WORKS(cae_decompress_frame(frame.data, frame.len, CAE_TYPE_F32, frame_shape, 2, NULL, NULL, out, H * W));
  for (int i = 0; i < H * W; i++) CHECK(fabsf(out[i] - field[i / W][i % W]) <= 1e-3f);
  free(out);
  free(wide);
  cae_free_bytes(&frame);
  cae_free_bytes(&frame);
  cae_free_bytes(NULL);
  CHECK(frame.data == NULL);

  cae_model *model = (cae_model *)1;
  FAILS(MODEL, cae_load_model((const uint8_t *)"not onnx", 8, NULL, 0, NULL, &model));
  CHECK(model == NULL);
  FAILS(ARGUMENT, cae_load_model(NULL, 8, NULL, 0, NULL, &model));
  FAILS(ARGUMENT, cae_load_model((const uint8_t *)"", 0, NULL, 0, NULL, NULL));
  uint8_t digest[32];
  FAILS(ARGUMENT, cae_model_digest(NULL, digest));
  cae_close_model(NULL);
}

static int fetch(size_t ndim, const uint64_t *start, const size_t *extent, void *out, void *user) {
  if (user) return 42;
  float *to = out;
  if (ndim != 2) return 1;
  for (size_t y = 0; y < extent[0]; y++)
    for (size_t x = 0; x < extent[1]; x++) *to++ = field[start[0] + y][start[1] + x];
  return 0;
}

static void count(uint64_t done, uint64_t total, void *user) {
  CHECK(done <= total && total == H * W);
  ++*(int *)user;
}

/* A file in memory with the arrays "a" (frames of 8 x 32), "b" by a source and "c" bound by point. */
static cae_bytes file(void) {
  cae_writer *writer;
  cae_report report;
  WORKS(cae_create_memory(&writer));
  const uint64_t cut[] = {8, W};
  const char *dims[] = {"y", "x"}, *bad_dims[] = {"y", NULL};
  int calls = 0;
  cae_array_options options = {.bound = {CAE_BOUND_KIND_ABSOLUTE, 1e-3}, .frame_shape = cut, .dim_names = dims, .threads = 1,
                               .progress = count, .progress_user = &calls};
  cae_array_options bad = options;
  bad.dim_names = bad_dims;
  FAILS(ARGUMENT, cae_add_array(writer, "a", field, CAE_TYPE_F32, shape, 2, &bad, NULL));
  bad = options;
  bad.model = 1;
  FAILS(ARGUMENT, cae_add_array(writer, "a", field, CAE_TYPE_F32, shape, 2, &bad, NULL));
  FAILS(ARGUMENT, cae_add_array(writer, NULL, field, CAE_TYPE_F32, shape, 2, &options, NULL));
  FAILS(ARGUMENT, cae_add_array(writer, "\xff", field, CAE_TYPE_F32, shape, 2, &options, NULL));
  FAILS(ARGUMENT, cae_add_array(writer, "a", NULL, CAE_TYPE_F32, shape, 2, &options, NULL));
  FAILS(ARGUMENT, cae_add_array(NULL, "a", field, CAE_TYPE_F32, shape, 2, &options, NULL));
  const uint64_t nine[9] = {1, 1, 1, 1, 1, 1, 1, 1, 1};
  FAILS(ARGUMENT, cae_add_array(writer, "a", field, CAE_TYPE_F32, nine, 9, NULL, NULL));
  WORKS(cae_add_array(writer, "a", field, CAE_TYPE_F32, shape, 2, &options, &report));
  CHECK(calls == 3 && report.max_error <= 1e-3);
  FAILS(ARGUMENT, cae_add_array(writer, "a", field, CAE_TYPE_F32, shape, 2, &options, &report));
  FAILS(ARGUMENT, cae_add_source(writer, "b", NULL, NULL, CAE_TYPE_F32, shape, 2, NULL, NULL));
  WORKS(cae_add_source(writer, "b", fetch, NULL, CAE_TYPE_F32, shape, 2, NULL, NULL));
  static double bounds[H][W];
  for (int i = 0; i < H * W; i++) bounds[i / W][i % W] = i % 2 ? 1e-2 : 0.5;
  cae_array_options by_point = {.bound = {CAE_BOUND_KIND_BY_POINT, 0}};
  FAILS(ARGUMENT, cae_add_array(writer, "c", field, CAE_TYPE_F32, shape, 2, &by_point, NULL));
  by_point.point_bounds = bounds[0];
  WORKS(cae_add_array(writer, "c", field, CAE_TYPE_F32, shape, 2, &by_point, NULL));
  FAILS(ARGUMENT, cae_set_attributes(writer, "d", "{}"));
  WORKS(cae_set_attributes(writer, "c", "{\"k\": 1}"));
  FAILS(ARGUMENT, cae_commit(writer, NULL));
  cae_bytes bytes;
  FAILS(ARGUMENT, cae_finish_memory(writer, NULL));
  WORKS(cae_finish_memory(writer, &bytes));
  return bytes;
}

/* Bytes that must be fetched, until they cannot be. */
static int elsewhere(uint64_t offset, uint8_t *out, size_t len, void *user) {
  const cae_bytes *file = user;
  if (!file->data) return 17;
  memcpy(out, file->data + offset, len);
  return 0;
}

static void fetching(const cae_bytes *file) {
  cae_bytes there = *file;
  cae_reader *reader = (cae_reader *)1;
  FAILS(ARGUMENT, cae_open_read_at(NULL, &there, file->len, NULL, &reader));
  CHECK(reader == NULL);
  FAILS(ARGUMENT, cae_open_read_at(elsewhere, &there, file->len, NULL, NULL));
  FAILS(FORMAT, cae_open_read_at(elsewhere, &there, file->len - 1, NULL, &reader));
  FAILS(FORMAT, cae_open_read_at(elsewhere, &there, 0, NULL, &reader));
  WORKS(cae_open_read_at(elsewhere, &there, file->len, NULL, &reader));
  float *out = malloc(sizeof field);
  WORKS(cae_read(reader, 0, CAE_TYPE_F32, out, H * W));
  CHECK(fabsf(out[9 * W + 9] - field[9][9]) <= 1e-3f);
  there.data = NULL;
  FAILS(IO, cae_read(reader, 0, CAE_TYPE_F32, out, H * W));
  CHECK(strstr(cae_error_message(), "17"));
  cae_close(reader);
  FAILS(IO, cae_open_read_at(elsewhere, &there, file->len, NULL, &reader));
  CHECK(reader == NULL);
  free(out);
}

static void reading(const cae_bytes *file) {
  cae_reader *reader = (cae_reader *)1;
  FAILS(ARGUMENT, cae_open_memory(NULL, file->len, NULL, &reader));
  CHECK(reader == NULL);
  FAILS(FORMAT, cae_open_memory(NULL, 0, NULL, &reader));
  FAILS(ARGUMENT, cae_open_memory(file->data, file->len, NULL, NULL));
  cae_limits limits;
  WORKS(cae_default_limits(&limits));
  limits.directory_bytes = 1;
  cae_read_options options = {.limits = &limits};
  FAILS(LIMIT, cae_open_memory(file->data, file->len, &options, &reader));
  const char *folders[] = {NULL};
  cae_read_options no_folder = {.model_folders = folders, .model_folder_count = 1};
  FAILS(ARGUMENT, cae_open_memory(file->data, file->len, &no_folder, &reader));
  for (size_t n = 0; n < file->len; n += 1 + n / 20) {
    uint8_t *cut = malloc(n + !n);
    memcpy(cut, file->data, n);
    FAILS(FORMAT, cae_open_memory(cut, n, NULL, &reader));
    free(cut);
  }

  WORKS(cae_open_memory(file->data, file->len, NULL, &reader));
  CHECK(cae_array_count(reader) == 3 && cae_array_count(NULL) == 0);
  size_t index;
  FAILS(ARGUMENT, cae_find_array(reader, "d", &index));
  FAILS(ARGUMENT, cae_find_array(reader, "a", NULL));
  FAILS(ARGUMENT, cae_find_array(NULL, "a", &index));
  WORKS(cae_find_array(reader, "c", &index));
  CHECK(index == 2);
  cae_array_info info;
  FAILS(ARGUMENT, cae_describe_array(reader, 3, &info));
  FAILS(ARGUMENT, cae_describe_array(reader, 0, NULL));
  WORKS(cae_describe_array(reader, 2, &info));
  CHECK(!strcmp(info.attributes, "{\"k\": 1}") && info.dim_names[0] == NULL && info.bound.kind == CAE_BOUND_KIND_BY_POINT);
  WORKS(cae_describe_array(reader, 0, &info));
  CHECK(!strcmp(info.name, "a") && !strcmp(info.dim_names[1], "x") && info.dim_names[2] == NULL);
  CHECK(info.ndim == 2 && info.shape[0] == H && info.shape[1] == W && info.shape[2] == 0 && info.frame_shape[0] == 8);
  CHECK(info.frames == 3 && info.values == H * W && info.model == -1 && info.type == CAE_TYPE_F32);

  float *out = malloc(sizeof field);
  const uint64_t start[] = {7, 3}, extent[] = {2, 5}, beyond[] = {H, 1}, most[] = {UINT64_MAX, 1};
  FAILS(ARGUMENT, cae_read(reader, 0, CAE_TYPE_F64, out, H * W / 2));
  FAILS(ARGUMENT, cae_read(reader, 0, CAE_TYPE_F32, out, H * W - 1));
  FAILS(ARGUMENT, cae_read(reader, 0, CAE_TYPE_F32, NULL, H * W));
  FAILS(ARGUMENT, cae_read(reader, 0, CAE_TYPE_F32, (char *)out + 2, H * W));
  FAILS(ARGUMENT, cae_read(reader, 0, 7, out, H * W));
  FAILS(ARGUMENT, cae_read(NULL, 0, CAE_TYPE_F32, out, H * W));
  FAILS(ARGUMENT, cae_read_region(reader, 0, 1, start, extent, CAE_TYPE_F32, out, 2));
  FAILS(ARGUMENT, cae_read_region(reader, 0, 2, NULL, extent, CAE_TYPE_F32, out, 10));
  FAILS(ARGUMENT, cae_read_region(reader, 0, 2, start, beyond, CAE_TYPE_F32, out, H));
  FAILS(ARGUMENT, cae_read_region(reader, 0, 2, most, extent, CAE_TYPE_F32, out, 10));
  FAILS(ARGUMENT, cae_read_region(reader, 0, 2, start, extent, CAE_TYPE_F32, out, 11));
  WORKS(cae_read_region(reader, 0, 2, start, extent, CAE_TYPE_F32, out, 10));
  CHECK(fabsf(out[9] - field[8][7]) <= 1e-3f);
  WORKS(cae_read(reader, 1, CAE_TYPE_F32, out, H * W));
  CHECK(!memcmp(out, field, sizeof field));
  cae_bytes onnx;
  FAILS(ARGUMENT, cae_model_bytes(reader, 0, &onnx));
  uint64_t damaged = 9;
  uint32_t digest;
  WORKS(cae_verify(reader, 0, &damaged, &digest));
  CHECK(damaged == 0);
  cae_close(reader);
  cae_close(NULL);

  /* Byte 30 lies in the first frame, for the header has 16. */
  file->data[30] ^= 1;
  WORKS(cae_open_memory(file->data, file->len, NULL, &reader));
  FAILS(FORMAT, cae_read(reader, 0, CAE_TYPE_F32, out, H * W));
  CHECK(strstr(cae_error_message(), "frame 0 of array 0 at byte 16"));
  WORKS(cae_verify(reader, 0, &damaged, NULL));
  CHECK(damaged == 1);
  const uint64_t zero[] = {0, 0};
  WORKS(cae_salvage_region(reader, 0, 2, zero, shape, CAE_TYPE_F32, out, H * W, &damaged));
  CHECK(damaged == 1 && isnan(out[0]) && isnan(out[8 * W - 1]) && fabsf(out[8 * W] - field[8][0]) <= 1e-3f);
  file->data[30] ^= 1;
  cae_close(reader);
  free(out);
}

static void files(const char *folder) {
  char path[4096];
  cae_writer *writer = (cae_writer *)1;
  cae_reader *reader;
  snprintf(path, sizeof path, "%s/no/such/folder.cae", folder);
  FAILS(IO, cae_create(path, &writer));
  CHECK(writer == NULL);
  FAILS(IO, cae_open(path, NULL, &reader));
  FAILS(ARGUMENT, cae_create(NULL, &writer));
  FAILS(ARGUMENT, cae_create(path, NULL));
  FAILS(ARGUMENT, cae_open("\xc0", NULL, &reader));

  snprintf(path, sizeof path, "%s/a.cae", folder);
  remove(path);
  WORKS(cae_create(path, &writer));
  FAILS(IO, cae_add_source(writer, "a", fetch, &failures, CAE_TYPE_F32, shape, 2, NULL, NULL));
  CHECK(strstr(cae_error_message(), "42"));
  cae_abandon(writer);
  cae_abandon(NULL);
  FAILS(IO, cae_open(path, NULL, &reader));

  WORKS(cae_create(path, &writer));
  WORKS(cae_add_array(writer, "a", field, CAE_TYPE_F32, shape, 2, NULL, NULL));
  cae_bytes none;
  FAILS(ARGUMENT, cae_finish_memory(writer, &none));
  uint64_t len = 0;
  WORKS(cae_commit(writer, &len));
  FILE *f = fopen(path, "rb");
  CHECK(f && !fseek(f, 0, SEEK_END) && (uint64_t)ftell(f) == len);
  if (f) fclose(f);
}

struct work {
  const cae_reader *reader;
  int which, good;
};

/* Half of the threads fail, each with a message of its own; half read. */
static void *worker(void *arg) {
  struct work *w = arg;
  float *out = malloc(sizeof field);
  char name[32];
  size_t index;
  snprintf(name, sizeof name, "none%d", w->which);
  w->good = 1;
  for (int i = 0; i < 5; i++) {
    if (w->which % 2)
      w->good &= cae_find_array(w->reader, name, &index) == CAE_STATUS_ARGUMENT && strstr(cae_error_message(), name);
    else
      w->good &= cae_read(w->reader, 1, CAE_TYPE_F32, out, H * W) == CAE_STATUS_OK && !memcmp(out, field, sizeof field);
  }
  free(out);
  return NULL;
}

static void threads(const cae_bytes *file) {
  enum { N = 6 };
  cae_reader *reader;
  pthread_t thread[N];
  struct work work[N];
  WORKS(cae_open_memory(file->data, file->len, NULL, &reader));
  for (int i = 0; i < N; i++) {
    work[i] = (struct work){reader, i, 0};
    pthread_create(&thread[i], NULL, worker, &work[i]);
  }
  for (int i = 0; i < N; i++) {
    pthread_join(thread[i], NULL);
    CHECK(work[i].good);
  }
  cae_close(reader);
}

int main(int argc, char **argv) {
  if (argc != 2) return 2;
  for (int y = 0; y < H; y++)
    for (int x = 0; x < W; x++) field[y][x] = sinf(0.3f * (float)y) + cosf(0.2f * (float)x);
  CHECK(cae_error_message()[0] == 0);
  CHECK(!strcmp(cae_status_name(CAE_STATUS_LIMIT), "limit") && !strcmp(cae_status_name(99), "unknown"));
  CHECK(strchr(cae_version(), '.'));
  uint8_t major, minor;
  WORKS(cae_format_version(&major, &minor));
  FAILS(ARGUMENT, cae_format_version(NULL, &minor));
  FAILS(ARGUMENT, cae_default_limits(NULL));
  frames();
  cae_bytes bytes = file();
  fetching(&bytes);
  reading(&bytes);
  threads(&bytes);
  files(argv[1]);
  cae_free_bytes(&bytes);
  if (!failures) puts("all as it should be");
  return failures != 0;
}
