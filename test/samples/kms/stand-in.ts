import { createServer, type IncomingMessage } from 'node:http'
import type { Signer } from 'evertoken'
import { listenOnLoopback } from '../../../demo/loopback.ts'
import type { SigningAlg } from '../../support/keys.ts'
import type { HiddenKey } from './hidden-key.ts'

/** A request as it came. */
export interface SeenRequest {
  readonly method: string
  readonly path: string
  readonly headers: Readonly<Record<string, string>>
  /** What was sent as JSON. */
  readonly body: unknown
}

/** What is answered; a text goes out as it is, anything else as JSON. */
export interface Answer {
  readonly status: number
  readonly body: unknown
  /** Where a redirect points to. */
  readonly location?: string
}

/** A key management service, as its documentation describes it. */
export interface Kms {
  readonly name: string
  readonly algs: readonly SigningAlg[]
  /** Answers a request that is right in every respect, with a real signature of the key, and refuses any other. */
  answer(request: SeenRequest, key: HiddenKey, url: string): Answer
  isSigning(request: SeenRequest): boolean
  /** The signer that the sample makes. */
  signer(url: string, options: { readonly alg?: SigningAlg; readonly secret: string }): Promise<Signer>
  /** The request that signs a digest, as documented. */
  signing(digest: Buffer, alg: SigningAlg): Omit<SeenRequest, 'headers'>
  /** How the service refuses, with a text that quotes what it was sent. */
  refusal(kind: Refusal, quoted: string): Answer
  /** Answers to a signing request that are none, by what is wrong with them. */
  readonly wrong: readonly WrongAnswer[]
  /** Answers about a key that hold no public key of it. */
  readonly wrongKeys: readonly WrongAnswer[]
  /** Answers for keys that cannot sign a JWS. */
  readonly otherKeys: readonly WrongAnswer[]
}

export type Refusal = 'throttled' | 'denied' | 'unavailable'

export interface WrongAnswer {
  readonly name: string
  readonly change: (body: Record<string, unknown>) => unknown
}

/** A service that listens on a loopback port. */
export interface StandIn {
  readonly url: string
  readonly requests: readonly SeenRequest[]
  /** What happens to the service's answers from now on. */
  meddle(change: (answer: Answer, request: SeenRequest) => Answer | 'silence'): void
  /** Resolves when a request has come that nobody answers. */
  readonly silent: Promise<void>
  close(): Promise<void>
}

/** Lets a service listen. */
export async function startKms(kms: Kms, key: HiddenKey): Promise<StandIn> {
  const requests: SeenRequest[] = []
  let meddling: Parameters<StandIn['meddle']>[0] = (answer) => answer
  let fallSilent = (): void => {}
  const silent = new Promise<void>((resolve) => {
    fallSilent = resolve
  })
  const server = createServer(async (incoming, outgoing) => {
    const request = await seen(incoming)
    requests.push(request)
    const answer = meddling(kms.answer(request, key, url), request)
    if (answer === 'silence') return fallSilent()
    const { status, location } = answer
    outgoing.writeHead(status, { 'content-type': 'application/json', ...(location !== undefined && { location }) })
    outgoing.end(typeof answer.body === 'string' ? answer.body : JSON.stringify(answer.body))
  })
  const { port, shut } = await listenOnLoopback(server)
  const url = `http://127.0.0.1:${port}`
  return {
    url,
    requests,
    silent,
    meddle(change) {
      meddling = change
    },
    close: shut,
  }
}

async function seen(incoming: IncomingMessage): Promise<SeenRequest> {
  const chunks: Buffer[] = []
  for await (const chunk of incoming) chunks.push(chunk)
  const text = Buffer.concat(chunks).toString()
  return {
    method: incoming.method ?? '',
    path: incoming.url ?? '',
    headers: Object.fromEntries(Object.entries(incoming.headers).map(([name, value]) => [name, String(value)])),
    body: text === '' ? undefined : JSON.parse(text),
  }
}

/** The members of a body; none of anything else. */
export function membersOf(body: unknown): Record<string, unknown> {
  return typeof body === 'object' && body !== null ? { ...body } : {}
}
