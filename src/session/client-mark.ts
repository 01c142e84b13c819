import { canonicalText } from '../util/index.ts'

/** Which client of which server. */
export interface MarkedClient {
  readonly issuer?: string | undefined
  readonly tokenEndpoint?: string | undefined
  readonly clientId: string
}

/** The name of a client among all clients of all servers, which is the same in every process. */
export function clientMark({ issuer, tokenEndpoint, clientId }: MarkedClient): string {
  return canonicalText([issuer ?? null, tokenEndpoint ?? null, clientId])
}

/** The client id in a mark; the whole of what is no mark of ours. */
export function clientIdIn(mark: string): string {
  try {
    const [, , clientId] = JSON.parse(mark) as readonly unknown[]
    return typeof clientId === 'string' ? clientId : mark
  } catch {
    return mark
  }
}
