"""The notifier: rules that say who hears of which event, and deliveries that lose none of them."""
