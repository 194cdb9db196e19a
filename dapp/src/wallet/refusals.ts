/** Every refusal of a contract that a user of these pages can meet, as a sentence. What has none is told by its name and values. */
import { format } from '../lib/amount';
import { duration, local } from '../lib/time';
import { short } from '../lib/text';

type Say = (...args: string[]) => string;

const tokens = (wei = '0') => `${format(BigInt(wei))} GPUTOKEN`;
const time = (unix = '0') => local(unix);
const seconds = (value = '0') => duration(value);

const STATES = ['unknown', 'requested', 'active', 'completed', 'cancelled'];
const CASES = ['unknown', 'open', 'upheld', 'rejected', 'expired'];
const ROLES = ['no role', 'provider', 'Queen', 'King'];
const PROPOSALS = ['pending', 'active', 'cancelled', 'defeated', 'succeeded', 'queued', 'expired', 'executed'];

const RENTING: Record<string, Say> = {
  UnknownOffer: (id) => `There is no offer ${id}`,
  UnknownRental: (id) => `There is no rental ${id}`,
  NotProvider: () => 'Only the provider of this rental may do this',
  NotRenter: (_, renter) => `Only the renter may do this; that is ${short(renter ?? '')}`,
  OfferIsPaused: () => 'The provider has paused this offer; look for another one',
  InvalidPrice: () => 'The price must be more than zero',
  InvalidDuration: (given, least, most) => `${seconds(given)} is outside of what this offer allows: ${seconds(least)} to ${seconds(most)}`,
  DeviceNotRentable: () => 'The device has no recent passed challenge or lacks the stake behind it, so it can not be rented now',
  DeviceBusy: (_, rental) => `The device was just rented by somebody else (rental ${rental})`,
  MaxCostExceeded: (cost, most) => `It now costs ${tokens(cost)}, more than the ${tokens(most)} you agreed to; the price has changed`,
  WrongState: (_, state) => `The rental is ${STATES[Number(state)] ?? 'in another state'}, and this is not possible then`,
  AlreadyEnded: () => 'An end of this rental has been set already; what was given back can not be bought again',
  ComplaintOpen: () => 'A complaint is open for this rental; wait for the verdict',
  ReserveTooSmall: (_, free, needed) => `The provider's reserve is too small: ${tokens(free)} of ${tokens(needed)} for this time`,
  DeadlineNotRequested: () => 'A refund by deadline was not requested yet, or the network may still report',
  TooMany: (_, limit) => `That is more than the ${limit} that are allowed`,
  InvalidSessionSignature: () => 'The signature is not of the session key of this rental',
  TooEarly: (from) => `This is possible from ${time(from)} on`,
  TooLate: (until) => `This was possible until ${time(until)}`,
  NothingToClaim: () => 'There is nothing to claim for this account',
};

const COURT: Record<string, Say> = {
  NotParty: () => 'Only a party of this rental may do this',
  CaseAlreadyOpen: (_, id) => `Case ${id} about this rental is open already`,
  TooManyCases: (_, limit) => `A rental has at most ${limit} complaints`,
  UnknownCase: (id) => `There is no case ${id}`,
  WrongStatus: (_, status) => `The case is ${CASES[Number(status)] ?? 'in another state'}`,
  AlreadyDrawn: () => 'The committee of this case is drawn already',
  NotDrawn: () => 'The committee of this case is not drawn yet',
  NotInCommittee: () => 'This account does not judge this case',
  AlreadyVoted: () => 'This account has voted on this case already',
  SessionKnown: () => 'A session of this rental is known already',
};

const STAKING: Record<string, Say> = {
  RoleMismatch: (current, wanted) => `This account is a ${ROLES[Number(current)]} and can not become a ${ROLES[Number(wanted)]} as well; take another account`,
  InvalidRole: () => 'Choose provider, Queen or King',
  BelowMinimum: (total, least) => `${tokens(total)} is below the minimum of ${tokens(least)} for this role`,
  ZeroAmount: () => 'The amount must be more than zero',
  ZeroAddress: () => 'An address is missing',
  PeerIdMissing: () => 'Every role needs the peer id of its node; the node prints it when it starts',
  OperatorTaken: (operator) => `${short(operator ?? '')} already works for another account; name another operator`,
  InsufficientStake: (free, needed) => `Only ${tokens(free)} of the stake are free, ${tokens(needed)} are needed; the rest backs devices`,
  StillUnbonding: (until) => `The tokens are unbonding until ${time(until)}`,
  UnknownStaker: (who) => `${short(who ?? '')} has no stake`,
  PoolClosed: () => 'This account takes no delegations: it has not announced a commission, or slashes have emptied its pool',
  SelfDelegation: () => 'An account can not delegate to itself; add to its stake instead',
  DelegatedElsewhere: (who) => `You delegate to ${short(who ?? '')} already; an address delegates to one account at a time`,
  NotDelegated: () => 'You have no active delegation',
  DeviceRented: (_, rental) => `The device is rented (rental ${rental})`,
  CommissionTooHigh: (_, limit) => `The commission may be at most ${Number(limit) / 100} %`,
};

const GOVERNING: Record<string, Say> = {
  GovernorAlreadyCastVote: () => 'You have voted on this proposal already; a vote can not be changed',
  GovernorNonexistentProposal: () => 'There is no such proposal',
  GovernorUnexpectedProposalState: (_, state) => `The proposal is ${PROPOSALS[Number(state)] ?? 'in another state'}, and this is not possible then`,
  GovernorInsufficientProposerVotes: (_, votes, needed) => `You have ${tokens(votes)} of votes; a proposal takes ${tokens(needed)}`,
  GovernorInvalidVoteType: () => 'Vote for, against or abstain',
  TimelockUnexpectedOperationState: () => 'The timelock still holds this proposal back; try again when its delay is over',
  TimelockUnauthorizedCaller: () => 'Only Governance may do this',
};

const TOKENS: Record<string, Say> = {
  ERC20InsufficientBalance: (_, balance, needed) => `The account has ${tokens(balance)}, and ${tokens(needed)} are needed`,
  ERC20InsufficientAllowance: (_, allowed, needed) => `The contract may take ${tokens(allowed)}, and needs ${tokens(needed)}; approve it first`,
  ERC2612ExpiredSignature: () => 'The permission you signed has run out; sign again',
  ERC2612InvalidSigner: () => 'The permission was signed by another account, or another transaction used it up; try again',
  DailyLimitReached: () => 'The faucet has given what it gives in a day; try again tomorrow',
  FaucetEmpty: () => 'The faucet is empty',
  ForbiddenChain: () => 'There is no faucet on this chain',
  NothingToRelease: () => 'Nothing has vested since the last release',
  RentalAlreadySettled: () => 'The rewards of this rental are settled already',
  RentalNotClosed: () => 'Rewards are settled once the rental is closed',
  NoFeePaid: () => 'This rental paid no protocol fee, so it earns nothing',
  BudgetExhausted: () => "This epoch's budget for rewards is used up; settle it in a later one",
  FeesOutstanding: () => 'The fees of this rental have not arrived yet: collect fees first',
};

const ALL: Record<string, Say> = { ...RENTING, ...COURT, ...STAKING, ...GOVERNING, ...TOKENS };

/** The faucet's own TooEarly names an account first. */
const OVERLOADED: Record<string, Say> = { 'TooEarly/2': (_, next) => `The faucet gives this account more from ${time(next)} on` };

export function refusal(name: string, args: readonly unknown[]): string {
  const texts = args.map(String);
  const say = OVERLOADED[`${name}/${texts.length}`] ?? ALL[name];
  if (say) return say(...texts);
  const plain = name.replace(/([a-z])([A-Z])/g, '$1 $2').toLowerCase();
  return texts.length ? `${plain} (${texts.join(', ')})` : plain;
}

export const SENTENCES: readonly string[] = Object.keys(ALL);
