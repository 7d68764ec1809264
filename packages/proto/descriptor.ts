/** The compiled descriptor set of proto/, for gRPC reflection. */
export const descriptorFile = new URL(
  import.meta.url.includes("/dist/") ? "../gen/descriptor.binpb" : "./gen/descriptor.binpb",
  import.meta.url,
);
