import { waitFor } from './abort.ts'

/** A body in any of the shapes that Web, Node and test doubles of `fetch` give. */
interface ReadableBody {
  readonly body: ReadableStream<Uint8Array> | null
}

/**
 * Reads a body up to a limit, counted after decompression.
 *
 * @returns `undefined` when the body is longer; the rest is cancelled unread.
 */
export async function readCapped(
  { body }: ReadableBody,
  limit: number,
  signal?: AbortSignal,
): Promise<Uint8Array | undefined> {
  if (body === null || body === undefined) return new Uint8Array()
  const reader = body.getReader()
  const chunks: Uint8Array[] = []
  let length = 0
  try {
    for (;;) {
      const { done, value } = await waitFor(reader.read(), signal)
      if (done) break
      length += value.byteLength
      if (length > limit) return undefined
      chunks.push(value)
    }
  } finally {
    // Does nothing to a body that has ended, frees the socket of one that has not.
    reader.cancel().catch(() => {})
  }
  return joined(chunks, length)
}

function joined(chunks: readonly Uint8Array[], length: number): Uint8Array {
  const bytes = new Uint8Array(length)
  let offset = 0
  for (const chunk of chunks) {
    bytes.set(chunk, offset)
    offset += chunk.byteLength
  }
  return bytes
}
