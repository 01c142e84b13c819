export {
  type AuthorizedFetch,
  type AuthorizedFetchOptions,
  authorizedFetch,
} from './authorized-fetch.ts'
export type { AuthorizedFetchInit } from './call.ts'
export type { Body, BodySource } from './replayable-body.ts'
