import { once } from 'node:events'
import type { ServerResponse } from 'node:http'
import type { Writable } from 'node:stream'
import { createGzip } from 'node:zlib'
import type { Answer } from './hostile-server.ts'

const JSON_TYPE = { 'content-type': 'application/json' }
const CHUNK = Buffer.alloc(64 * 1024, ' ')

/** Bytes as they are, whatever HTTP says, and the end of the connection. */
export function raw(bytes: string | Uint8Array): Answer {
  return (_response, socket) => void socket.end(bytes)
}

/** No HTTP at all. */
export const garbage: Answer = raw(Buffer.from('\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\nnot http\r\n\r\n'))

/** Cuts the connection after half of the body. */
export function cutInBody(body: string): Answer {
  return (response, socket) => {
    response.writeHead(200, { ...JSON_TYPE, 'content-length': Buffer.byteLength(body) })
    response.write(body.slice(0, body.length / 2), () => socket.resetAndDestroy())
  }
}

/** Promises a thousand bytes more than it sends, and ends the connection in good order. */
export function shorterThanItsLength(body: string): Answer {
  return raw(
    `HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: ${body.length + 1000}\r\n\r\n${body}`,
  )
}

/** HTTP/1.0: the end of the connection is the end of the body. */
export function http10(body: string): Answer {
  return raw(`HTTP/1.0 200 OK\r\ncontent-type: application/json\r\n\r\n${body}`)
}

/** Chunked, with a trailer behind the body. */
export function withTrailers(body: string): Answer {
  return (response) => {
    response.writeHead(200, { ...JSON_TYPE, trailer: 'x-trailer' })
    response.write(body)
    response.addTrailers({ 'x-trailer': 'behind the body' })
    response.end()
  }
}

/** 103 and 102 before the answer itself. */
export function afterInterimAnswers(body: string): Answer {
  return (response) => {
    response.writeEarlyHints({ link: '</style.css>; rel=preload; as=style' })
    response.writeProcessing()
    response.writeHead(200, JSON_TYPE).end(body)
  }
}

/** 100 that nobody has asked for, before the answer itself. Node's own `fetch` takes it for the end of the connection. */
export function afterContinue(body: string): Answer {
  return (response) => {
    response.writeContinue()
    response.writeHead(200, JSON_TYPE).end(body)
  }
}

/** A redirect to anywhere. */
export function redirectTo(location: string, status: 301 | 302 | 303 | 307 | 308 = 302): Answer {
  return { status, headers: { location } }
}

/** A body that comes one byte at a time. */
export interface Drip {
  readonly answer: Answer
  /** Lets one byte go; false when there is nobody to send it to, or nothing left. */
  drop(): boolean
}

/** One byte for each `drop`, so that a test says how slow slow is. */
export function createDrip(body: string): Drip {
  const bytes = Buffer.from(body)
  let sent = 0
  let to: ServerResponse | undefined
  return {
    answer(response) {
      response.writeHead(200, { ...JSON_TYPE, 'content-length': bytes.length }).flushHeaders()
      to = response
      sent = 0
    },
    drop() {
      if (to === undefined || to.destroyed || sent === bytes.length) return false
      to.write(bytes.subarray(sent, sent + 1))
      sent++
      if (sent === bytes.length) to.end()
      return true
    },
  }
}

/** A flood of JSON, and how much of it went out. */
export interface Flood {
  readonly answer: Answer
  /** Bytes before compression. */
  readonly sentBytes: number
}

/** JSON white space of any length, never held in memory; `gzip` makes a bomb of it. */
export function createFlood(length: number, { gzip = false }: { readonly gzip?: boolean } = {}): Flood {
  let sentBytes = 0
  return {
    async answer(response) {
      response.writeHead(200, { ...JSON_TYPE, ...(gzip && { 'content-encoding': 'gzip' }) })
      const to = gzip ? createGzip() : response
      if (to !== response) to.pipe(response)
      response.on('error', () => {}).on('close', () => to.destroy())
      while (sentBytes < length && !to.destroyed) {
        sentBytes += CHUNK.length
        if (!to.write(CHUNK)) await drained(to)
      }
      to.end('{}')
    },
    get sentBytes() {
      return sentBytes
    },
  }
}

async function drained(stream: Writable): Promise<void> {
  const settled = new AbortController()
  const { signal } = settled
  await Promise.race([once(stream, 'drain', { signal }), once(stream, 'close', { signal })]).catch(() => {})
  settled.abort()
}
