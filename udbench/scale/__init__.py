"""What a round costs on several processes: counted, predicted from rates, and the rates measured."""
