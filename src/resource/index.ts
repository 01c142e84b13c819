export {
  type Attempt,
  authorizerFrom,
  createAuthorizer,
  type RequestAuthorizer,
  type RequestTarget,
} from './authorizer.ts'
export { type Challenge, parseChallenges } from './challenges.ts'
export { type Destination, type DestinationRules, destinationRules } from './destination.ts'
export type { ResponseHead } from './verdict.ts'
