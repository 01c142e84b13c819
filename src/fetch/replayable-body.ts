import { type Awaitable, waitFor } from '../util/index.ts'

/** A request body as `fetch` takes it. */
export type Body = NonNullable<RequestInit['body']>

/** A body, or a function that makes it anew for every try. */
export type BodySource = Body | (() => Awaitable<Body>)

/** A body that knows whether it can be sent again. */
export interface ReplayableBody {
  readonly isReplayable: boolean
  /** The body for the next try. */
  next(): Awaitable<Body | undefined>
}

/** A request's own body is kept for another try up to this size. */
const MAX_KEPT_BYTES = 1024 * 1024

const NO_BODY: ReplayableBody = { isReplayable: true, next: () => undefined }

/** Looks at a body: text, bytes, blobs, forms and functions can be sent again, a stream cannot. */
export function replayableBody(body: BodySource | null | undefined): ReplayableBody {
  if (body === undefined || body === null) return NO_BODY
  if (typeof body === 'function') return { isReplayable: true, next: body }
  return { isReplayable: !isStream(body), next: () => body }
}

/** Whether a body is sent while it is made, for which `fetch` wants `duplex: 'half'`. */
export function isStream(body: Body | undefined): boolean {
  return typeof body === 'object' && (body instanceof ReadableStream || Symbol.asyncIterator in body)
}

/** The body of a `Request`: kept in memory up to 1 MiB, sent as it comes beyond that. */
export async function requestBody({ body, signal }: Request): Promise<ReplayableBody> {
  if (body === null) return NO_BODY
  const reader = body.getReader()
  const chunks: Uint8Array<ArrayBuffer>[] = []
  let length = 0
  while (length <= MAX_KEPT_BYTES) {
    const { done, value } = await waitFor(reader.read(), signal)
    if (done) {
      const kept = new Blob(chunks)
      return { isReplayable: true, next: () => kept }
    }
    chunks.push(value)
    length += value.byteLength
  }
  const rest = new ReadableStream<Uint8Array>({
    async pull(controller) {
      const chunk = chunks.shift()
      if (chunk !== undefined) return controller.enqueue(chunk)
      const { done, value } = await reader.read()
      if (done) controller.close()
      else controller.enqueue(value)
    },
    cancel: (reason) => reader.cancel(reason),
  })
  return { isReplayable: false, next: () => rest }
}
