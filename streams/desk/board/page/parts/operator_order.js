// An operator's word: asked for who says it and why, sent with the operator's key, and told where it went. The key of the page stays what it is:
// an operator's key that is typed in here is used once and kept nowhere.

import { ask } from "./asking.js";
import { includes } from "./caller.js";
import { askInDialog, field, tell } from "./dialogs.js";
import { make } from "./elements.js";

const WORDS = {
  release: { title: "Release held liquidations", yes: "Release them", harms: true, about: "Everything that the breaker holds is requested at the newest prices. Nothing takes that back." },
  void: { title: "Judge held liquidations afresh", yes: "Judge afresh", harms: false, about: "Once the cause is repaired: the breaker closes and what it held is judged anew. Where that is still too much it opens again." },
};

export async function orderBreaker(what, shard, caller) {
  const words = WORDS[what];
  const own = includes(caller.role, "operator");
  const sent = await askInDialog({
    ...words,
    title: `${words.title}: shard ${shard}`,
    about: [words.about, caller.operator_topic ? `On record: the ${own ? `key “${caller.name}”` : "operator's key"}, who you are, and why.` : "The workers listen to no operator (UNIMARGIN_OPERATOR_TOPIC_ENABLED is off): this will be refused."],
    fields: [
      ...(own ? [] : [field("Operator's key (used once)", "key", { type: "password", required: true })]),
      field("Who you are", "person", { required: true, maxlength: 60 }),
      field("Why", "why", { required: true, maxlength: 128 }),
    ],
    does: async ({ key, person, why }) => (await ask(`/breaker/${what}`, { key: key?.trim(), body: { why: why.trim(), person: person.trim(), shard } })).data,
  });
  if (sent) tell("Sent", make("p", {}, `Command ${sent.command.id} by ${sent.command.who} is on the topic ${sent.topic}. The list and the breaker show when it was done.`));
}
