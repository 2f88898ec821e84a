/* A file and a frame whose values a network predicts. Arguments: a folder, decoder and encoder as ONNX files. */
#include <cae.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NEED(x) \
  do { \
    if (!(x)) { \
      fprintf(stderr, "line %d: %s (%s)\n", __LINE__, #x, cae_error_message()); \
      return 1; \
    } \
  } while (0)

enum { N = 16384 };
static float field[N], back[N];

static cae_bytes contents(const char *path) {
  cae_bytes b = {0};
  FILE *f = fopen(path, "rb");
  if (!f) return b;
  fseek(f, 0, SEEK_END);
  b.len = (size_t)ftell(f);
  b.data = malloc(b.len);
  rewind(f);
  if (fread(b.data, 1, b.len, f) != b.len) b.len = 0;
  fclose(f);
  return b;
}

int main(int argc, char **argv) {
  NEED(argc == 4);
  cae_bytes decoder = contents(argv[2]), encoder = contents(argv[3]);
  NEED(decoder.len && encoder.len);
  unsigned random = 1;
  for (int i = 0; i < N; i++) {
    random = random * 1664525 + 1013904223;
    field[i] = 1 + 0.5f * sinf(0.01f * (float)i) + 0.02f * (float)(random >> 24) / 256;
  }
  const size_t extent[] = {N};
  const uint64_t shape[] = {N};

  cae_model *model;
  NEED(!cae_load_model(decoder.data, decoder.len, encoder.data, encoder.len, NULL, &model));
  cae_bytes frame;
  cae_report report;
  cae_frame_options options = {.bound = {CAE_BOUND_KIND_POINTWISE, 0.2}, .model = model};
  NEED(!cae_compress_frame(field, CAE_TYPE_F32, extent, 1, &options, &frame, &report));
  NEED(!cae_decompress_frame(frame.data, frame.len, CAE_TYPE_F32, extent, 1, model, NULL, back, N));
  for (int i = 0; i < N; i++) NEED(fabsf(back[i] - field[i]) <= 0.2f * field[i]);
  uint8_t digest[32];
  NEED(!cae_model_digest(model, digest));
  cae_status without = cae_decompress_frame(frame.data, frame.len, CAE_TYPE_F32, extent, 1, NULL, NULL, back, N);
  NEED(report.needs_model ? without == CAE_STATUS_UNSUPPORTED : without == CAE_STATUS_OK);
  cae_close_model(model);
  cae_free_bytes(&frame);

  char path[4096], kept[4200];
  snprintf(path, sizeof path, "%s/model.cae", argv[1]);
  for (int embed = 0; embed < 2; embed++) {
    cae_writer *writer;
    uint32_t number, again;
    NEED(!cae_create(path, &writer));
    NEED(!cae_add_model(writer, decoder.data, decoder.len, encoder.data, encoder.len, embed, &number));
    NEED(!cae_add_model(writer, decoder.data, decoder.len, encoder.data, encoder.len, embed, &again));
    NEED(number == 1 && again == 1);
    cae_array_options asked = {.bound = {CAE_BOUND_KIND_POINTWISE, 0.2}, .model = number};
    NEED(!cae_add_array(writer, "x", field, CAE_TYPE_F32, shape, 1, &asked, &report));
    NEED(!cae_commit(writer, NULL));
    cae_reader *reader;
    cae_array_info info;
    NEED(!cae_open(path, NULL, &reader));
    NEED(!cae_describe_array(reader, 0, &info));
    NEED((info.model == 0) == report.needs_model);
    cae_bytes onnx;
    cae_status found = cae_model_bytes(reader, 0, &onnx);
    if (embed) {
      NEED(!found && onnx.len == decoder.len && !memcmp(onnx.data, decoder.data, onnx.len));
      cae_free_bytes(&onnx);
    } else {
      NEED(found == CAE_STATUS_UNSUPPORTED && onnx.data == NULL);
      cae_close(reader);
      char *end = kept + snprintf(kept, sizeof kept, "%s/", argv[1]);
      for (int i = 0; i < 32; i++) end += sprintf(end, "%02x", digest[i]);
      strcpy(end, ".onnx");
      FILE *f = fopen(kept, "wb");
      NEED(f && fwrite(decoder.data, 1, decoder.len, f) == decoder.len && !fclose(f));
      const char *folders[] = {argv[1]};
      cae_read_options with = {.model_folders = folders, .model_folder_count = 1};
      NEED(!cae_open(path, &with, &reader));
    }
    NEED(!cae_read(reader, 0, CAE_TYPE_F32, back, N));
    for (int i = 0; i < N; i++) NEED(fabsf(back[i] - field[i]) <= 0.2f * field[i]);
    cae_close(reader);
  }
  free(decoder.data);
  free(encoder.data);
  printf("%s\n", report.needs_model ? "the network predicted" : "the network was not worth its bytes");
  return 0;
}
