import type { LRUCache } from 'lru-cache'
import type { TokenRequest, TokenSource } from '../token/index.ts'
import { type EffectiveRequest, shapeOf } from './effective-request.ts'

/** What {@link createRequestSources} needs. */
export interface RequestSourcesOptions {
  /** Sources of all clients of the manager together; each name begins with its client's. */
  readonly sources: () => LRUCache<string, TokenSource>
  readonly prefix: string
  readonly create: (effective: EffectiveRequest) => TokenSource
}

/** Gives the same source for the same request, while there is room for it. */
export function createRequestSources({
  sources,
  prefix,
  create,
}: RequestSourcesOptions): (request: TokenRequest, effective: EffectiveRequest) => TokenSource {
  /** Sources of requests that carry more than their shape tells, by the request itself. */
  const byRequest = new WeakMap<TokenRequest, { readonly shape: string; readonly source: TokenSource }>()

  return (request, effective) => {
    const shape = shapeOf(effective)
    if (request.context === undefined && request.clientAssertion === undefined) {
      const key = prefix + shape
      const source = sources().get(key) ?? create(effective)
      sources().set(key, source)
      return source
    }
    const known = byRequest.get(request)
    // A request object that was changed since is another request.
    if (known?.shape === shape) return known.source
    const source = create(effective)
    byRequest.set(request, { shape, source })
    return source
  }
}
